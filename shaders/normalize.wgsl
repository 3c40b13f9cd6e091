// normalize: y = (x - mean) * invstd * weight + bias with the records that finalize made.
// Reads x once and 20 bytes per feature and chunk; writes y once.
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(3) var<storage, read> state: array<Stat>;
@group(0) @binding(5) var<storage, read> record: array<Stat>;

@compute @workgroup_size(LANES)
fn normalize_tensor(
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
    let made = Record(
        record[at(MEAN, place)],
        record[at(REST, place)],
        record[at(INVSTD, place)],
        record[at(GAMMA, place)],
    );
    apply(walk_begin(group, lane), affine(made, state[at(BIAS, place)]));
}
