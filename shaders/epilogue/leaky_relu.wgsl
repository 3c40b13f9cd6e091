//! import params, packet, positive
// v where v > 0, else slope * v.

fn leaky_relu(v: Quad) -> Quad {
    return select(v * params.slope, v, above_zero(v));
}

fn leaky_relu_gradient(v: Quad, g: Quad) -> Quad {
    return select(g * params.slope, g, above_zero(v));
}
