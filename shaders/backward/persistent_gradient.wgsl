//! import tile, ahead, cursor, hold, sums, reduce, slice_sums, gradient, finish_gradient_slot
// persistent_gradient: all of backward in one dispatch and one read, where one workgroup holds all values of its features
// in registers: their sums, the gradients of their weight and bias, then dx.
// Reads x and dy once, and 20 bytes per feature; writes dx once, and 8 bytes per feature.

@compute @workgroup_size(WORKGROUP)
fn persistent_gradient(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let slot = slot_of(group, invocation);
    let start = begin_slice(group, invocation);
    var standardizes = standardizes_at(clamped(slot));
    var affines = recalled_affines(clamped(slot));
    var xs = Held();
    var dys = Held();
    var valid = Valid();
    var cursor = start;
    for (var i = 0u; i < HELD; i++) {
        let index = index_if(i < start.left, cursor);
        xs[i] = load_x(index);
        dys[i] = load_dy(index);
        valid[i] = valid_if(i < start.left, cursor);
        advance(&cursor);
    }
    var xhat = Held();
    var dy = Held();
    var added = PacketSums();
    cursor = start;
    for (var i = 0u; i < HELD; i += AHEAD) {
        var kept = Packets();
        for (var j = 0u; j < AHEAD; j++) {
            kept[j] = load_kept(index_if(i + j < start.left, cursor));
            advance(&cursor);
        }
        for (var j = 0u; j < AHEAD; j++) {
            let n = i + j;
            let gradient = gradient_before(xs[n], dys[n], kept[j], &affines);
            dy[n] = packet_if(n < start.left, only_valid(gradient, valid[n]));
            xhat[n] = packet_if(n < start.left, only_valid(standardized(xs[n], &standardizes), valid[n]));
            add_products(&added, dy[n], xhat[n]);
        }
    }
    var sums = reduce(invocation, added_items(added));
    var gradients = finish_gradient_slot(invocation, slot, &sums);
    cursor = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            store_residual_gradient(cursor.index, dy[i]);
            let dx = input_gradient_of(dy[i], xhat[i], &gradients);
            store_dx(cursor.index, only_valid(dx, valid[i]));
        }
        advance(&cursor);
    }
}
