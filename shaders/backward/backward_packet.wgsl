//! import cursor, packet, gradient_before, valid
// What backward loads of a packet.

struct BackwardPacket {
    index: u32,
    valid: u32,
    x: Packet,
    dy: Packet,
    kept: Packet,
}

// The next packet of a slice.
fn next_backward_packet(cursor: ptr<function, Cursor>) -> BackwardPacket {
    let index = (*cursor).index;
    let valid = valid_at((*cursor).number);
    let packet = BackwardPacket(index, valid, load_x(index), load_dy(index), load_kept(index));
    advance(cursor);
    return packet;
}

// Its gradient before the activation, which is 0 where it is not valid.
fn valid_gradient(packet: BackwardPacket, affines: ptr<function, Affines>) -> Packet {
    return only_valid(gradient_before(packet.x, packet.dy, packet.kept, affines), packet.valid);
}
