// backward_reduce: the sums of dy and of dy * xhat of each chunk of each feature.
// Reads x and dy once, the record (12 bytes per feature and chunk); writes 8 bytes per feature and chunk: the sums of a
// chunk are vectors 2 * chunk and following of partials.
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(5) var<storage, read> record: array<Stat>;
@group(0) @binding(6) var<storage, read_write> partials: array<Stat>;

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
    let place = place_of(group, lane);
    let s = standardize_at(min(place, params.places - 1u));
    let sums = reduce(lane, accumulate(walk_begin(group, lane), s));
    if lane < COLUMNS && place < params.places {
        partials[at(2u * chunk_of(group), place)] = sums.dy;
        partials[at(2u * chunk_of(group) + 1u, place)] = sums.dy_xhat;
    }
}
