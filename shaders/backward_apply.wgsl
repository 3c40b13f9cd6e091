// backward_apply: dx from x, dy, the record and the means that backward_finalize made.
// Reads x and dy once and 24 bytes per feature and chunk; writes dx once.
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(5) var<storage, read> record: array<Record>;
@group(0) @binding(10) var<storage, read> means: array<vec2<f32>>;

@compute @workgroup_size(LANES)
fn backward_apply(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let first = first_feature(group, lane);
    var dy_mean: Stat;
    var dy_xhat_mean: Stat;
    if params.use_running == 0u {
        for (var k = 0u; k < SPAN; k++) {
            let m = means[min(first + k, params.features - 1u)];
            stat_put(&dy_mean, k, m.x);
            stat_put(&dy_xhat_mean, k, m.y);
        }
    }
    apply(walk_begin(group, lane), standardize_at(first), scale_at(first), dy_mean, dy_xhat_mean);
}
