use super::valid::valid_indices;
use super::{Options, Saved};
use crate::tensor::Shape;

/// Gradient sums: what the gradients of a feature are made of. g is the gradient with respect to what the activation
/// takes: dy where there is none. Those of parts add up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// Σg, the gradient of the bias.
    pub dy: f64,
    /// Σg·x̂, the gradient of the weight.
    pub dy_xhat: f64,
}

impl std::ops::Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { dy: self.dy + other.dy, dy_xhat: self.dy_xhat + other.dy_xhat }
    }
}

/// g at an index.
pub(super) fn gradient_at(i: usize, x: &[f32], dy: &[f32], saved: &Saved, options: &Options<'_>) -> f64 {
    options.activation.gradient(saved.pre_activation(x[i], options.residual_at(i)), dy[i].into())
}

/// The sums of each feature's valid values. Twin of shaders/backward/split_sums.wgsl.
pub fn gradient_sums(
    x: &[f32],
    dy: &[f32],
    shape: Shape,
    saved: &[Saved],
    options: &Options<'_>,
) -> Vec<Sums> {
    let of_feature = |(c, s): (usize, &Saved)| {
        valid_indices(shape, c, options).fold(Sums::default(), |sums, i| {
            let g = gradient_at(i, x, dy, s, options);
            sums + Sums { dy: g, dy_xhat: g * s.xhat(x[i]) }
        })
    };
    saved.iter().enumerate().map(of_feature).collect()
}
