//! import tile, merge_splits, partial_sums
// gather_sums: adds up the gradient sums of each feature's splits in a record of the caller's.
// Reads 8 bytes per feature and split, and the record where it accumulates; writes 8 per feature.
// Without any split (a part without examples) the record is zero, or stays.

@compute @workgroup_size(WORKGROUP)
fn gather_sums(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let slot = slot_of(group, invocation);
    let sums = merged(slot, invocation);
    if writes(invocation, slot) {
        var all = sums;
        if params.accumulate == 1u {
            all = add_sums(Sums(record[at(0u, slot)], record[at(1u, slot)]), all);
        }
        record[at(0u, slot)] = all.dy;
        record[at(1u, slot)] = all.dy_xhat;
    }
}
