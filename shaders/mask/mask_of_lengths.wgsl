//! import tile
// mask_of_lengths: the mask of examples that are valid up to a length each: position < length. Each invocation makes a
// word; what no example has is not valid. Here params.total is the number of bits, and params.plane that of positions.
// Reads 4 bytes per example; writes a bit per example and position.

@compute @workgroup_size(WORKGROUP)
fn mask_of_lengths(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let word = group * WORKGROUP + invocation;
    let first = word * 32u;
    if first < params.total {
        var example = first / params.plane;
        var position = first % params.plane;
        var bits = 0u;
        for (var i = 0u; i < min(32u, params.total - first); i++) {
            // A length is compared, never an index.
            bits |= select(0u, 1u << i, position < lengths[example]);
            position++;
            if position == params.plane {
                position = 0u;
                example++;
            }
        }
        mask[word] = bits;
    }
}
