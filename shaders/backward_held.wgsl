// backward_held: all of backward in one dispatch and one read, where one workgroup holds all values of its features in
// registers: their sums, the gradients of their weight and bias, then dx.
// Reads x and dy once, the record (16 bytes per feature); writes dx once and 8 bytes per feature.
// Dispatch: params.groups workgroups of LANES, params.chunks = 1.

@group(0) @binding(5) var<storage, read> record: array<Stat>;

@compute @workgroup_size(LANES)
fn backward_held(
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
    var xhat = Held();
    var dy = Held();
    var dy_sum = sum_of(splat(0.0));
    var dy_xhat_sum = sum_of(splat(0.0));
    var walk = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            dy[i] = load_gradient(walk.index);
            xhat[i] = standardized(load(walk.index), s);
            dy_sum += sum_of(dy[i]);
            dy_xhat_sum += sum_of(times(dy[i], xhat[i]));
        }
        walk_next(&walk);
    }
    let sums = reduce(lane, Sums(stat_of(dy_sum), stat_of(dy_xhat_sum)));
    if lane < COLUMNS && place == any_place {
        finish(place, sums);
    }
    // Where running statistics normalized, their gradient is not part of dx.
    let share = select(1.0 / params.count, 0.0, params.use_running == 1u);
    let g = gradient_at(place, s, scaled(sums, share));
    walk = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            dx[walk.index] = gradient(dy[i], xhat[i], g);
        }
        walk_next(&walk);
    }
}
