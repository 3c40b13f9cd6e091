//! import tile, cursor, hold, sums, reduce, gradient, gradient_at, residual_gradient, finish_gradient_slot
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
    var xhat = Held();
    var dy = Held();
    var dy_sums = Packet();
    var dy_xhat_sums = Packet();
    var cursor = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            let valid = valid_at(cursor.number);
            let x = load_x(cursor.index);
            dy[i] = only_valid(gradient_at(cursor.index, x, &affines), valid);
            xhat[i] = only_valid(standardized(x, &standardizes), valid);
            for (var k = 0u; k < QUADS; k++) {
                dy_sums[k] += dy[i][k];
                dy_xhat_sums[k] += dy[i][k] * xhat[i][k];
            }
        }
        advance(&cursor);
    }
    var mine = Items();
    for (var s = 0u; s < STATS; s++) {
        mine[s] = Sums(total(&dy_sums, s), total(&dy_xhat_sums, s));
    }
    var sums = reduce(invocation, mine);
    var gradients = finish_gradient_slot(invocation, slot, &sums);
    cursor = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            store_residual_gradient(cursor.index, dy[i]);
            let dx = input_gradient_of(dy[i], xhat[i], &gradients);
            store_dx(cursor.index, only_valid(dx, valid_at(cursor.number)));
        }
        advance(&cursor);
    }
}
