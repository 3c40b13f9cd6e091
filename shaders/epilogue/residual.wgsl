//! import packet
// Adds the residual z to a packet, where there is one.

fn with_residual(packet: Packet, z: Packet) -> Packet {
    var values = packet;
    if RESIDUAL {
        for (var k = 0u; k < QUADS; k++) {
            values[k] += z[k];
        }
    }
    return values;
}
