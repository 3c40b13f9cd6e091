// finalize: merges the moments of each feature's chunks; makes its record, moves its running statistics.
// Reads 16 bytes per chunk, the state (16 bytes per feature); writes record (16) and running statistics (8).
// Dispatch: a workgroup of LANES per feature. With count 0 (an empty batch) it only counts the batch.

@group(0) @binding(5) var<storage, read_write> record: array<Record>;
@group(0) @binding(6) var<storage, read> partials: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn finalize(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let feature = id.x + id.y * size.x;
    if feature >= params.features {
        return;
    }
    if params.count == 0.0 {
        if lane == 0u {
            batches[feature] += params.update_running;
        }
        return;
    }
    var mine: Moments;
    for (var chunk = lane; chunk < params.chunks; chunk += LANES) {
        let p = partials[feature * params.chunks + chunk];
        mine = merge(mine, Moments(p.x, p.y, p.z, p.w));
    }
    let m = reduce(lane, mine);
    if lane == 0u {
        record[feature] = finish(feature, m.shift, m.mean, m.square);
    }
}
