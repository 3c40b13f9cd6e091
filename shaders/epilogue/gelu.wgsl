//! import packet, sigmoid
// v / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) * (v + 0.044715 * v^3), as v / (1 + exp(-2 * u)), where nothing cancels.

const GELU_SCALE = 1.5957691216057308; // 2 * sqrt(2 / pi)
const GELU_CUBE = 0.044715;
// Beyond it the sigmoid is 0 or 1 in float32, and no power of v overflows before it.
const GELU_END = 20.0;

fn gelu(v: Quad) -> Quad {
    let w = clamp(v, Quad(-GELU_END), Quad(GELU_END));
    return v * sigmoid(GELU_SCALE * w * (1.0 + GELU_CUBE * w * w)).value;
}

fn gelu_gradient(v: Quad, g: Quad) -> Quad {
    let w = clamp(v, Quad(-GELU_END), Quad(GELU_END));
    let s = sigmoid(GELU_SCALE * w * (1.0 + GELU_CUBE * w * w));
    let slope = GELU_SCALE * (1.0 + 3.0 * GELU_CUBE * w * w);
    return g * (s.value + v * (s.value * s.rest) * slope);
}
