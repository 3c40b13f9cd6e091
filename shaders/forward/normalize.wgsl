//! import tile, transform_slice
// normalize_tensor: y = (x - mean) * invstd * weight + bias with the statistics that finalize saved, and the epilogue.
// Reads x once, and 24 bytes per feature and split; writes y once.

@compute @workgroup_size(WORKGROUP)
fn normalize_tensor(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_from_last(id, size);
    if group >= params.groups {
        return;
    }
    let slot = clamped(slot_of(group, invocation));
    var affines = Affines();
    for (var n = 0u; n < stats(); n++) {
        set_affine(&affines, n, affine_of(saved_at(slot * STATS + n)));
    }
    transform_slice(begin_slice(group, invocation), &affines);
}
