// stats: the moments of each chunk of each feature.
// Reads x once; writes 12 bytes per feature and chunk: shift, mean and square of a chunk are vectors 3 * chunk and
// following of partials.
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(6) var<storage, read_write> partials: array<Stat>;

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
    let place = place_of(group, lane);
    if lane < COLUMNS && place < params.places {
        let vector = 3u * chunk_of(group);
        partials[at(vector, place)] = moments.shift;
        partials[at(vector + 1u, place)] = moments.mean;
        partials[at(vector + 2u, place)] = moments.square;
    }
}
