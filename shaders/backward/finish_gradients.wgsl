//! import params, sums
// From the sums of a feature to the gradients of its weight and bias.

fn finish_gradients(i: u32, sums: Sums) {
    var gradients = sums;
    if params.accumulate == 1u {
        gradients = add_sums(Sums(bias_gradient[i], weight_gradient[i]), sums);
    }
    bias_gradient[i] = gradients.dy;
    weight_gradient[i] = gradients.dy_xhat;
}
