use super::valid::valid_indices;
use super::{Options, Saved};
use crate::tensor::Shape;

/// y: normalized, scaled, shifted, and what the epilogue makes of it; 0 where the mask is false. Twin of
/// shaders/forward/normalize.wgsl.
pub fn apply(x: &[f32], shape: Shape, saved: &[Saved], options: &Options<'_>) -> Vec<f64> {
    let mut y = vec![0.0; shape.elements() as usize];
    for (c, s) in saved.iter().enumerate() {
        for i in valid_indices(shape, c, options) {
            y[i] = options.activation.value(s.pre_activation(x[i], options.residual_at(i)));
        }
    }
    y
}
