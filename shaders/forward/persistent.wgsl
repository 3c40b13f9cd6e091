//! import tile, cursor, hold, held_moments, finish_slot, finished
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
        if i < start.left {
            held[i] = load_x(cursor.index);
            valid[i] = valid_at(cursor.number);
        }
        advance(&cursor);
    }
    var moments = reduce(invocation, held_moments(&held, &valid, start.left));
    var affines = finish_slot(invocation, slot, &moments, &old);
    cursor = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            let y = finished(transform(held[i], &affines), cursor.index);
            store_y(cursor.index, only_valid(y, valid[i]));
        }
        advance(&cursor);
    }
}
