// backward_frozen: dx where running statistics normalized and nothing else is wanted: dx = dy * weight * invstd.
// Here x is dy and y is dx. Reads dy once, the record (8 bytes per feature and chunk); writes dx once.
// Dispatch: params.groups workgroups of LANES.

@group(0) @binding(5) var<storage, read> record: array<Stat>;

@compute @workgroup_size(LANES)
fn backward_frozen(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let place = min(place_of(group, lane), params.places - 1u);
    let zero = stat_splat(0.0);
    let scaling = Record(zero, zero, record[at(INVSTD, place)], record[at(GAMMA, place)]);
    apply(walk_begin(group, lane), affine(scaling, zero));
}
