//! import tile, merge_splits, partial_moments, finish
// finalize: merges the moments of each feature's splits; makes its saved statistics, moves its running statistics.
// Reads 16 bytes per feature and split, and 16 per feature; writes saved (24) and running statistics (12).
// Without any split (an empty batch) it counts the batch.

@compute @workgroup_size(WORKGROUP)
fn finalize(
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
    let moments = merged(slot, invocation);
    if writes(invocation, slot) {
        finish(slot, moments, running_at(slot), true);
    }
}
