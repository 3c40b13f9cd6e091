//! import tile, slice_moments, finish_slot, transform_slice
// cached: training forward in one dispatch, where one workgroup takes all values of its features: their moments, their
// saved and running statistics, then y, from a second read of x that finds it in a cache.
// Reads x twice (from memory once), and 16 bytes per feature; writes y once, and 36 bytes per feature.

@compute @workgroup_size(WORKGROUP)
fn cached(
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
    var old = runnings_at(clamped(slot));
    let start = begin_slice(group, invocation);
    var moments = reduce(invocation, slice_moments(start));
    var affines = finish_slot(invocation, slot, &moments, &old);
    transform_slice(start, &affines);
}
