//! import tile, gradient
// input_gradient: dx from x, dy, the saved statistics and the means that finalize_gradients made.
// Reads x and dy once, and 28 bytes per feature and split; writes dx once.

@compute @workgroup_size(WORKGROUP)
fn input_gradient(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_from_last(id, size);
    if group >= params.groups {
        return;
    }
    let slot = clamped(slot_of(group, invocation));
    var standardizes = standardizes_at(slot);
    var affines = recalled_affines(slot);
    var gradients = Gradients();
    for (var n = 0u; n < stats(); n++) {
        let i = slot * STATS + n;
        set_gradient(&gradients, n, gradient_of(saved_at(i), Sums(means[at(0u, i)], means[at(1u, i)])));
    }
    gradient_slice(begin_slice(group, invocation), &standardizes, &affines, &gradients);
}
