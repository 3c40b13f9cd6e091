// stats: the moments of each chunk of each feature.
// Reads x once; writes features * chunks moments of 16 bytes to partials[feature * chunks + chunk].
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(6) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn stats(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let moments = reduce(lane, accumulate(walk_begin(group, lane)));
    if lane < COLUMNS {
        let chunk = group / (params.groups / params.chunks);
        let first = first_feature(group, lane);
        for (var k = 0u; k < SPAN; k++) {
            if first + k < params.features {
                partials[(first + k) * params.chunks + chunk] = vec4<f32>(
                    moments.count,
                    stat_pick(moments.shift, k),
                    stat_pick(moments.mean, k),
                    stat_pick(moments.square, k),
                );
            }
        }
    }
}
