//! import packet
// Adds the residual z to a packet, where there is one.

fn with_residual(packet: Packet, index: u32) -> Packet {
    var values = packet;
    if RESIDUAL {
        var residual = load_z(index);
        for (var k = 0u; k < QUADS; k++) {
            values[k] += residual[k];
        }
    }
    return values;
}
