// backward_reduce: the sums of dy and of dy * xhat of each chunk of each feature.
// Reads x and dy once, the record (16 bytes per feature and chunk); writes features * chunks pairs of 8 bytes to
// partials[feature * chunks + chunk].
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(5) var<storage, read> record: array<Record>;
@group(0) @binding(6) var<storage, read_write> partials: array<vec2<f32>>;

@compute @workgroup_size(LANES)
fn backward_reduce(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let first = first_feature(group, lane);
    let sums = reduce(lane, accumulate(walk_begin(group, lane), standardize_at(first)));
    if lane < COLUMNS {
        let chunk = group / (params.groups / params.chunks);
        for (var k = 0u; k < SPAN; k++) {
            if first + k < params.features {
                partials[(first + k) * params.chunks + chunk] =
                    vec2<f32>(stat_pick(sums.dy, k), stat_pick(sums.dy_xhat, k));
            }
        }
    }
}
