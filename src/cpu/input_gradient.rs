use super::sums::gradient_at;
use super::valid::valid_indices;
use super::{Options, Saved, Sums};
use crate::tensor::Shape;

/// dx (Ioffe & Szegedy 2015, section 3) and dz, given the sums of the whole batch; 0 where the mask is false. Twin of
/// shaders/backward/input_gradient.wgsl, and of frozen_gradient.wgsl, where running statistics normalized, which are
/// constants.
pub fn input_gradient(
    x: &[f32],
    dy: &[f32],
    shape: Shape,
    saved: &[Saved],
    sums: &[Sums],
    options: &Options<'_>,
) -> (Vec<f64>, Vec<f64>) {
    let len = shape.elements() as usize;
    let (mut dx, mut dz) = (vec![0.0; len], vec![0.0; len]);
    for (c, s) in saved.iter().enumerate() {
        for i in valid_indices(shape, c, options) {
            let g = gradient_at(i, x, dy, s, options);
            // A sum that is not finite must not reach dx through a product with 0.
            let through_statistics =
                if s.count == 0.0 { 0.0 } else { (sums[c].dy + s.xhat(x[i]) * sums[c].dy_xhat) / s.count };
            dx[i] = (g - through_statistics) * s.weight * s.invstd;
            dz[i] = g;
        }
    }
    (dx, dz)
}
