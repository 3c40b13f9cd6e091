//! import params, sums
// From the sums of a feature to the gradients of its weight and bias.

fn finish_gradients(i: u32, sums: Sums) {
    if params.accumulate == 1u {
        weight_gradient[i] += sums.dy_xhat;
        bias_gradient[i] += sums.dy;
    } else {
        weight_gradient[i] = sums.dy_xhat;
        bias_gradient[i] = sums.dy;
    }
}
