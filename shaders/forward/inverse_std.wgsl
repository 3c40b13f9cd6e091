//! import params
// 1 / sqrt(variance + eps). Scaled, since the sum may be beyond float32 where both parts are not: part by part, so that no
// compiler can add first and scale then. A step of Newton brings the device's inverseSqrt, of 2 ULP or worse, to about 1.
fn inverse_std(variance: Stat) -> Stat {
    let eps = Stat(params.eps);
    let large = (variance > Stat(1e38)) | (eps > Stat(1e38));
    let s = select(variance, variance * 0.25, large) + select(eps, eps * 0.25, large);
    let r = inverseSqrt(s);
    return (r + 0.5 * r * (1.0 - (s * r) * r)) * select(Stat(1.0), Stat(0.5), large);
}
