// backward_resident: all of backward in one dispatch, where one workgroup takes all values of its features: their
// sums, the gradients of their weight and bias, then dx, from a second read of x and dy that finds them in a cache.
// Reads x and dy twice (from memory once), the record (16 bytes per feature); writes dx once and 8 bytes per feature.
// Dispatch: params.groups workgroups of LANES, params.chunks = 1.

@group(0) @binding(5) var<storage, read> record: array<Stat>;

@compute @workgroup_size(LANES)
fn backward_resident(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let any_place = place_of(group, lane);
    let place = min(any_place, params.places - 1u);
    let start = walk_begin(group, lane);
    let s = standardize_at(place);
    let sums = reduce(lane, accumulate(start, s));
    if lane < COLUMNS && place == any_place {
        finish(place, sums);
    }
    // Where running statistics normalized, their gradient is not part of dx.
    let share = select(1.0 / params.count, 0.0, params.use_running == 1u);
    apply(start, s, gradient_at(place, s, scaled(sums, share)));
}
