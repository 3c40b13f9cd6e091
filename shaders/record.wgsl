// The per-feature record: what normalization, and later its gradient, need to know of a feature.

struct Record {
    mean: f32,   // a float32 near the values, and ...
    rest: f32,   // ... what is missing to the mean
    invstd: f32, // 1 / sqrt(variance + eps)
    weight: f32,
}

// A step of Newton brings the device's inverseSqrt, of 2 ULP or worse, to about 1.
fn inverse_std(variance: f32) -> f32 {
    let v = variance + params.eps;
    let r = inverseSqrt(v);
    return r + 0.5 * r * fma(-(v * r), r, 1.0);
}
