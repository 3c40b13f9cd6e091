// From the sums of the features at one place to the gradients of their weights and biases.

@group(0) @binding(8) var<storage, read_write> weight_gradient: array<Stat>;
@group(0) @binding(9) var<storage, read_write> bias_gradient: array<Stat>;

fn finish(place: u32, sums: Sums) {
    if params.accumulate == 1u {
        weight_gradient[place] += sums.dy_xhat;
        bias_gradient[place] += sums.dy;
    } else {
        weight_gradient[place] = sums.dy_xhat;
        bias_gradient[place] = sums.dy;
    }
}
