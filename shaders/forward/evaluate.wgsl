//! import tile, save, inverse_std, transform_slice
// evaluate: y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, and the epilogue; saves the statistics for backward.
// Reads x once, and 16 bytes per feature and split; writes y once, and saved (24 bytes per feature).

@compute @workgroup_size(WORKGROUP)
fn evaluate(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let any_slot = slot_of(group, invocation);
    let slot = clamped(any_slot);
    let saves = writes(invocation, any_slot) && split_of(group) == 0u;
    var affines = Affines();
    for (var n = 0u; n < stats(); n++) {
        let i = slot * STATS + n;
        let invstd = inverse_std(running_var_at(i));
        let statistics = Saved(running_mean_at(i), Stat(0.0), invstd, weight_at(i), Stat(0.0), bias_at(i));
        if saves {
            save(i, statistics);
        }
        set_affine(&affines, n, affine_of(statistics));
    }
    transform_slice(begin_slice(group, invocation), &affines);
}
