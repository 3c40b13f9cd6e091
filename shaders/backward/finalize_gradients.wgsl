//! import tile, merge_splits, partial_sums, gradient_means, finish_gradients
// finalize_gradients: adds up the sums of each feature's splits; writes the gradients of weight and bias, and the two
// means that input_gradient needs.
// Reads 8 bytes per feature and split, and 20 per feature; writes 16 per feature.

@compute @workgroup_size(WORKGROUP)
fn finalize_gradients(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let slot = slot_of(group, invocation);
    let sums = merged(slot, invocation);
    if writes(invocation, slot) {
        finish_gradients(slot, sums);
        let batch = means_of(sums, saved_at(slot));
        means[at(0u, slot)] = batch.dy;
        means[at(1u, slot)] = batch.dy_xhat;
    }
}
