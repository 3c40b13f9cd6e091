// backward_apply: dx from x, dy, the record and the means that backward_finalize made.
// Reads x and dy once and 24 bytes per feature and chunk; writes dx once.
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(5) var<storage, read> record: array<Stat>;
@group(0) @binding(10) var<storage, read> means: array<Stat>;

@compute @workgroup_size(LANES)
fn backward_apply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // What was reduced last is the likeliest to be in a cache still.
    let group = params.groups - 1u - (id.x + id.y * size.x);
    if group >= params.groups {
        return;
    }
    let place = min(place_of(group, lane), params.places - 1u);
    var mean = Sums();
    if params.use_running == 0u {
        mean = Sums(means[at(0u, place)], means[at(1u, place)]);
    }
    let s = standardize_at(place);
    apply(walk_begin(group, lane), s, gradient_at(place, s, mean));
}
