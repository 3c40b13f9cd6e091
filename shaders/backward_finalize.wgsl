// backward_finalize: adds up the sums of each feature's chunks; writes the gradients of weight and bias, and the two
// means that backward_apply needs.
// Reads 8 bytes per chunk; writes 16 per feature. Dispatch: a workgroup of LANES per feature.

@group(0) @binding(6) var<storage, read> partials: array<vec2<f32>>;
@group(0) @binding(10) var<storage, read_write> means: array<vec2<f32>>;

@compute @workgroup_size(LANES)
fn backward_finalize(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let feature = id.x + id.y * size.x;
    if feature >= params.features {
        return;
    }
    var mine: Sums;
    for (var chunk = lane; chunk < params.chunks; chunk += LANES) {
        let p = partials[feature * params.chunks + chunk];
        mine = add(mine, Sums(p.x, p.y));
    }
    let sums = reduce(lane, mine);
    if lane == 0u {
        finish(feature, sums.dy, sums.dy_xhat);
        means[feature] = vec2<f32>(sums.dy, sums.dy_xhat) / params.count;
    }
}
