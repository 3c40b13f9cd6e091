// From a feature's sums to the gradients of its weight and bias.

@group(0) @binding(8) var<storage, read_write> weight_gradient: array<f32>;
@group(0) @binding(9) var<storage, read_write> bias_gradient: array<f32>;

fn finish(feature: u32, dy_sum: f32, dy_xhat_sum: f32) {
    if params.accumulate == 1u {
        weight_gradient[feature] += dy_xhat_sum;
        bias_gradient[feature] += dy_sum;
    } else {
        weight_gradient[feature] = dy_xhat_sum;
        bias_gradient[feature] = dy_sum;
    }
}
