//! import packet, residual
// y of a packet that is normalized: what the epilogue makes of it.

fn finished(packet: Packet, index: u32) -> Packet {
    var values = with_residual(packet, index);
    for (var k = 0u; k < QUADS; k++) {
        values[k] = activate(values[k]);
    }
    return values;
}
