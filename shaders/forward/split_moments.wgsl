//! import tile, slice_moments, partial_moments
// split_moments: the moments of each split of each feature.
// Reads x once; writes 16 bytes per feature and split.

@compute @workgroup_size(WORKGROUP)
fn split_moments(
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
    var moments = reduce(invocation, slice_moments(begin_slice(group, invocation)));
    if writes(invocation, slot) {
        for (var n = 0u; n < stats(); n++) {
            save_partial_moments(split_of(group), slot * STATS + n, item_of(&moments, n));
        }
    }
}
