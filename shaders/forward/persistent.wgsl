//! import tile, ahead, cursor, hold, held_moments, finish_slot, transform_slice
// persistent: training forward in one dispatch and one read, where one workgroup holds all values of its features in
// registers: their moments, their saved and running statistics, then y.
// Reads x once, and 16 bytes per feature; writes y once, and 36 bytes per feature.

@compute @workgroup_size(WORKGROUP)
fn persistent(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    zero = params.zero;
    let slot = slot_of(group, invocation);
    var old = runnings_at(clamped(slot));
    let start = begin_slice(group, invocation);
    var held = Held();
    var valid = Valid();
    var cursor = start;
    for (var i = 0u; i < HELD; i++) {
        held[i] = load_x(index_if(i < start.left, cursor));
        valid[i] = valid_if(i < start.left, cursor);
        advance(&cursor);
    }
    for (var i = 0u; i < HELD; i++) {
        held[i] = packet_if(i < start.left, held[i]);
    }
    var moments = reduce(invocation, held_moments(&held, &valid, start.left));
    var affines = finish_slot(invocation, slot, &moments, &old);
    cursor = start;
    for (var i = 0u; i < HELD; i += AHEAD) {
        var residuals = Packets();
        var next = cursor;
        for (var j = 0u; j < AHEAD; j++) {
            residuals[j] = load_z(index_if(i + j < start.left, next));
            advance(&next);
        }
        for (var j = 0u; j < AHEAD; j++) {
            if i + j < start.left {
                let packet = ForwardPacket(cursor.index, valid[i + j], held[i + j], residuals[j]);
                store_transformed(packet, &affines);
            }
            advance(&cursor);
        }
    }
}
