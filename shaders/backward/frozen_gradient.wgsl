//! import tile, cursor, packet, saved, gradient_at, residual_gradient, valid
// frozen_gradient: dx where running statistics normalized and nothing else is wanted: dx = dy * weight * invstd.
// Reads dy once, and 8 bytes per feature and split; writes dx once.

@compute @workgroup_size(WORKGROUP)
fn frozen_gradient(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let slot = clamped(slot_of(group, invocation));
    var scales = array<Stat, STATS>();
    for (var n = 0u; n < stats(); n++) {
        let statistics = saved_at(slot * STATS + n);
        for (var s = 0u; s < STATS; s++) {
            if s == n {
                scales[s] = statistics.weight * statistics.invstd;
            }
        }
    }
    var affines = recalled_affines(slot);
    var cursor = begin_slice(group, invocation);
    for (var i = 0u; i < cursor.left; i++) {
        let valid = valid_at(cursor.number);
        let g = only_valid(gradient_at(cursor.index, load_x(cursor.index), &affines), valid);
        store_residual_gradient(cursor.index, g);
        var dx = g;
        for (var k = 0u; k < QUADS; k++) {
            dx[k] *= scales[k % STATS];
        }
        store_dx(cursor.index, only_valid(dx, valid));
        advance(&cursor);
    }
}
