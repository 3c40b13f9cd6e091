//! import packet
// 1 / (1 + exp(-v)), and what is missing to 1, each without cancellation and without an overflow on the way.

struct Sigmoid {
    value: Quad,
    rest: Quad,
}

fn sigmoid(v: Quad) -> Sigmoid {
    // exp(-200) is 0 in float32.
    let e = exp(-min(abs(v), Quad(200.0)));
    let large = 1.0 / (1.0 + e);
    let small = e * large;
    let negative = v < Quad(0.0);
    return Sigmoid(select(large, small, negative), select(small, large, negative));
}
