// finalize: merges the moments of each feature's chunks; makes its record, moves its running statistics.
// Reads 12 bytes per feature and chunk, the state (12 per feature); writes record (16) and running statistics (8).
// Dispatch: params.groups workgroups of LANES, COLUMNS places side by side. With count 0 (an empty batch) it only
// counts the batch.

@group(0) @binding(6) var<storage, read> partials: array<Stat>;

@compute @workgroup_size(LANES)
fn finalize(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let place = group * COLUMNS + lane % COLUMNS;
    var mine = Moments();
    if place < params.places {
        for (var chunk = lane / COLUMNS; chunk < params.chunks; chunk += LANES / COLUMNS) {
            let count = select(params.chunk_count, params.last_count, chunk + 1u == params.chunks);
            let shift = partials[at(3u * chunk, place)];
            let mean = partials[at(3u * chunk + 1u, place)];
            mine = combine(mine, Moments(count, shift, mean, partials[at(3u * chunk + 2u, place)]));
        }
    }
    let moments = reduce(lane, mine);
    if lane < COLUMNS && place < params.places {
        if params.count > 0.0 {
            finish(place, moments, running_at(place), true);
        } else if params.update_running == 1u {
            batches[place] = stat_next(batches[place]);
        }
    }
}
