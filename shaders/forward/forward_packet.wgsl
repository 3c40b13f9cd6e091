//! import cursor, packet, valid
// What forward loads to make a packet of y.

struct ForwardPacket {
    index: u32,
    valid: u32,
    x: Packet,
    z: Packet, // the residual, where there is one
}

// The next packet of a slice.
fn next_forward_packet(cursor: ptr<function, Cursor>) -> ForwardPacket {
    let index = (*cursor).index;
    let packet = ForwardPacket(index, valid_at((*cursor).number), load_x(index), load_z(index));
    advance(cursor);
    return packet;
}
