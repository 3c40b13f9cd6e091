//! import tile, gradient
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
    // Without sums, and without xhat: FROZEN is true here.
    var standardizes = Standardizes();
    var gradients = Gradients();
    for (var n = 0u; n < stats(); n++) {
        set_gradient(&gradients, n, gradient_of(saved_at(slot * STATS + n), Sums()));
    }
    var affines = recalled_affines(slot);
    gradient_slice(begin_slice(group, invocation), &standardizes, &affines, &gradients);
}
