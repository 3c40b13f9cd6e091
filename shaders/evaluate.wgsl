// evaluate: y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, the record kept for the gradient.
// Reads x once and the state (16 bytes per feature and chunk); writes y once and the record (16 bytes per feature).
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(3) var<storage, read> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> record: array<Record>;

fn record_of(feature: u32) -> Record {
    let variance = state[running_var_index(feature)];
    return Record(state[running_mean_index(feature)], 0.0, inverse_std(variance), state[weight_index(feature)]);
}

fn bias_of(feature: u32) -> f32 {
    return state[bias_index(feature)];
}

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
    let first = first_feature(group, lane);
    if lane < COLUMNS && group < params.groups / params.chunks {
        for (var k = 0u; k < SPAN; k++) {
            if first + k < params.features {
                record[first + k] = record_of(first + k);
            }
        }
    }
    apply(walk_begin(group, lane), affine_at(first));
}
