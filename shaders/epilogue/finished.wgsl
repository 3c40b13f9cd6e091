//! import packet, residual
// y of a packet that is normalized, and its residual: what the epilogue makes of it.

fn finished(packet: Packet, z: Packet) -> Packet {
    var values = with_residual(packet, z);
    for (var k = 0u; k < QUADS; k++) {
        values[k] = activate(values[k]);
    }
    return values;
}
