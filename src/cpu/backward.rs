use super::{Saved, indices};
use crate::layer::Statistics;
use crate::tensor::Shape;

/// Gradient sums: what the gradients of a feature are made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// Σdy, the gradient of the bias.
    pub dy: f64,
    /// Σdy·x̂, the gradient of the weight.
    pub dy_xhat: f64,
}

/// Backward: dx, and the sums that are the gradients of weight and bias. Twin of shaders/backward/cached_gradient.wgsl
/// and persistent_gradient.wgsl, which differ in how often they read; and of finalize_gradients.wgsl, whose sums it
/// returns.
pub fn backward(
    x: &[f32],
    dy: &[f32],
    shape: Shape,
    saved: &[Saved],
    statistics: Statistics,
) -> (Vec<f64>, Vec<Sums>) {
    let sums = split_sums(x, dy, shape, saved);
    let dx = match statistics {
        Statistics::Batch => input_gradient(x, dy, shape, saved, &sums),
        Statistics::Running => frozen_gradient(dy, shape, saved),
    };
    (dx, sums)
}

fn xhat(x: f32, saved: &Saved) -> f64 {
    (f64::from(x) - saved.mean) * saved.invstd
}

/// The sums of each feature. Twin of shaders/backward/split_sums.wgsl.
fn split_sums(x: &[f32], dy: &[f32], shape: Shape, saved: &[Saved]) -> Vec<Sums> {
    let of_feature = |(c, s): (usize, &Saved)| {
        indices(shape, c).fold(Sums::default(), |sums, i| Sums {
            dy: sums.dy + f64::from(dy[i]),
            dy_xhat: sums.dy_xhat + f64::from(dy[i]) * xhat(x[i], s),
        })
    };
    saved.iter().enumerate().map(of_feature).collect()
}

/// dx (Ioffe & Szegedy 2015, section 3). Twin of shaders/backward/input_gradient.wgsl.
fn input_gradient(x: &[f32], dy: &[f32], shape: Shape, saved: &[Saved], sums: &[Sums]) -> Vec<f64> {
    let mut dx = vec![0.0; dy.len()];
    for (c, s) in saved.iter().enumerate() {
        let (mean, slope) = (sums[c].dy / shape.count() as f64, sums[c].dy_xhat / shape.count() as f64);
        for i in indices(shape, c) {
            dx[i] = (f64::from(dy[i]) - mean - xhat(x[i], s) * slope) * s.weight * s.invstd;
        }
    }
    dx
}

/// dx where running statistics normalized, which are constants. Twin of shaders/backward/frozen_gradient.wgsl.
fn frozen_gradient(dy: &[f32], shape: Shape, saved: &[Saved]) -> Vec<f64> {
    let mut dx = vec![0.0; dy.len()];
    for (c, s) in saved.iter().enumerate() {
        for i in indices(shape, c) {
            dx[i] = f64::from(dy[i]) * s.weight * s.invstd;
        }
    }
    dx
}
