// evaluate: y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, the record kept for the gradient.
// Reads x once and the state (16 bytes per feature and chunk); writes y once and the record (16 bytes per feature).
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(3) var<storage, read> state: array<Stat>;
@group(0) @binding(5) var<storage, read_write> record: array<Stat>;

@compute @workgroup_size(LANES)
fn evaluate(
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
    let invstd = inverse_std(state[at(RUNNING_VAR, place)]);
    let made = Record(state[at(RUNNING_MEAN, place)], stat_splat(0.0), invstd, state[at(WEIGHT, place)]);
    if lane < COLUMNS && chunk_of(group) == 0u && place == any_place {
        keep(place, made);
    }
    apply(walk_begin(group, lane), affine(made, state[at(BIAS, place)]));
}
