//! import params
// 1 / sqrt(variance + eps). Scaled, since the sum may be beyond float32 where both parts are not; a step of Newton
// brings the device's inverseSqrt, of 2 ULP or worse, to about 1.
fn inverse_std(variance: Stat) -> Stat {
    let scale = select(Stat(1.0), Stat(0.25), (variance > Stat(1e38)) | (Stat(params.eps) > Stat(1e38)));
    let s = variance * scale + params.eps * scale;
    let r = inverseSqrt(s);
    return (r + 0.5 * r * (1.0 - (s * r) * r)) * sqrt(scale);
}
