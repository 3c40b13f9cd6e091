//! import packet, sigmoid
// v / (1 + exp(-v)).

fn silu(v: Quad) -> Quad {
    return v * sigmoid(v).value;
}

fn silu_gradient(v: Quad, g: Quad) -> Quad {
    let s = sigmoid(v);
    return g * (s.value * (1.0 + v * s.rest));
}
