//! import tile, merge_splits, partial_moments
// gather_moments: merges the moments of each feature's splits into a record of the caller's.
// Reads 16 bytes per feature and split, and the record where it accumulates; writes 16 per feature.
// Without any split (a part without examples) the record is that of no values, or stays.

fn record_at(i: u32) -> Moments {
    return Moments(any_of(record[at(0u, i)]), record[at(1u, i)], record[at(2u, i)], record[at(3u, i)]);
}

@compute @workgroup_size(WORKGROUP)
fn gather_moments(
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
        var all = moments;
        if params.accumulate == 1u {
            all = merge_moments(record_at(slot), all);
        }
        record[at(0u, slot)] = Stat(all.count);
        record[at(1u, slot)] = all.mean;
        record[at(2u, slot)] = all.rest;
        record[at(3u, slot)] = all.variance;
    }
}
