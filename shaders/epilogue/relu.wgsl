//! import packet, positive
// max(v, 0); a NaN stays one. Its derivative at 0, and at a NaN, is 0.

fn relu(v: Quad) -> Quad {
    return select(v, Quad(0.0), below_zero(v));
}

// Selected, so that nothing of a g that is not finite passes a derivative of 0.
fn relu_gradient(v: Quad, g: Quad) -> Quad {
    return select(Quad(0.0), g, above_zero(v));
}
