// held: training forward in one dispatch and one read, where one workgroup holds all values of its features in
// registers: their moments, their records and running statistics, then y.
// Reads x once; writes y once, the record (16 bytes per feature), running statistics (8).
// Dispatch: params.groups workgroups of LANES, params.chunks = 1.

@compute @workgroup_size(LANES)
fn held(
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
    var values = hold(start);
    let moments = reduce(lane, held_moments(&values, start.left));
    // Others have read what one overwrites.
    if COLUMNS < LANES {
        storageBarrier();
    }
    let made = finish(place, moments, old, lane < COLUMNS && place == any_place);
    let a = affine(made, state[at(BIAS, place)]);
    var walk = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            y[walk.index] = transform(values[i], a);
        }
        walk_next(&walk);
    }
}
