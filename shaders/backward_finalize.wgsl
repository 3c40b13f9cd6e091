// backward_finalize: adds up the sums of each feature's chunks; writes the gradients of weight and bias, and the two
// means that backward_apply needs.
// Reads 8 bytes per feature and chunk; writes 16 per feature.
// Dispatch: params.groups workgroups of LANES, COLUMNS places side by side.

@group(0) @binding(6) var<storage, read> partials: array<Stat>;
@group(0) @binding(10) var<storage, read_write> means: array<Stat>;

@compute @workgroup_size(LANES)
fn backward_finalize(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let place = group * COLUMNS + lane % COLUMNS;
    var mine = Sums();
    if place < params.places {
        for (var chunk = lane / COLUMNS; chunk < params.chunks; chunk += LANES / COLUMNS) {
            mine = combine(mine, Sums(partials[at(2u * chunk, place)], partials[at(2u * chunk + 1u, place)]));
        }
    }
    let sums = reduce(lane, mine);
    if lane < COLUMNS && place < params.places {
        finish(place, sums);
        means[at(0u, place)] = sums.dy * (1.0 / params.count);
        means[at(1u, place)] = sums.dy_xhat * (1.0 / params.count);
    }
}
