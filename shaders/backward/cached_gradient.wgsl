//! import tile, slice_sums, gradient, finish_gradient_slot
// cached_gradient: all of backward in one dispatch, where one workgroup takes all values of its features: their sums, the
// gradients of their weight and bias, then dx, from a second read of x and dy that finds them in a cache.
// Reads x and dy twice (from memory once), and 20 bytes per feature; writes dx once, and 8 bytes per feature.

@compute @workgroup_size(WORKGROUP)
fn cached_gradient(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let slot = slot_of(group, invocation);
    let start = begin_slice(group, invocation);
    var standardizes = standardizes_at(clamped(slot));
    var affines = recalled_affines(clamped(slot));
    var sums = reduce(invocation, slice_sums(start, &standardizes, &affines));
    var gradients = finish_gradient_slot(invocation, slot, &sums);
    gradient_slice(start, &standardizes, &affines, &gradients);
}
