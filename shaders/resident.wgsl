// resident: training forward in one dispatch, where one workgroup takes all values of its features: their moments,
// their records and running statistics, then y, from a second read of x that finds it in a cache.
// Reads x twice (from memory once); writes y once, the record (16 bytes per feature), running statistics (8).
// Dispatch: params.groups workgroups of LANES, params.chunks = 1.

@compute @workgroup_size(LANES)
fn resident(
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
    let old = running_at(place);
    let start = walk_begin(group, lane);
    let moments = reduce(lane, accumulate(start));
    // Others have read what one overwrites.
    if COLUMNS < LANES {
        storageBarrier();
    }
    let made = finish(place, moments, old, lane < COLUMNS && place == any_place);
    apply(start, affine(made, state[at(BIAS, place)]));
}
