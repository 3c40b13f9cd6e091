//! import ahead, cursor, affine, finished, forward_packet, valid
// y of an invocation's slice.

fn store_transformed(packet: ForwardPacket, affines: ptr<function, Affines>) {
    let y = finished(transform(packet.x, affines), packet.z);
    store_y(packet.index, only_valid(y, packet.valid));
}

fn transform_slice(start: Cursor, affines: ptr<function, Affines>) {
    var cursor = start;
    let grouped = in_groups(start.left);
    for (var i = 0u; i < grouped; i += AHEAD) {
        var ahead = array<ForwardPacket, AHEAD>();
        for (var j = 0u; j < AHEAD; j++) {
            ahead[j] = next_forward_packet(&cursor);
        }
        for (var j = 0u; j < AHEAD; j++) {
            store_transformed(ahead[j], affines);
        }
    }
    if AHEAD > 1u {
        for (var i = grouped; i < start.left; i++) {
            store_transformed(next_forward_packet(&cursor), affines);
        }
    }
}
