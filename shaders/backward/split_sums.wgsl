//! import tile, slice_sums, partial_sums
// split_sums: the gradient sums of each split of each feature.
// Reads x and dy once, and z or y where the epilogue needs it, and 20 bytes per feature and split; writes 8 bytes per feature and split.

@compute @workgroup_size(WORKGROUP)
fn split_sums(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let slot = slot_of(group, invocation);
    var standardizes = standardizes_at(clamped(slot));
    var affines = recalled_affines(clamped(slot));
    var sums = reduce(invocation, slice_sums(begin_slice(group, invocation), &standardizes, &affines));
    if writes(invocation, slot) {
        for (var n = 0u; n < stats(); n++) {
            save_partial_sums(split_of(group), slot * STATS + n, item_of(&sums, n));
        }
    }
}
