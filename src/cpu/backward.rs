use super::parts::{gradient_sums, input_gradient};
use super::{Options, Saved, Sums};
use crate::tensor::Shape;

/// What a backward gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// The gradient of x.
    pub dx: Vec<f64>,
    /// The gradient of what the activation takes, and so of the residual where there is one.
    pub dz: Vec<f64>,
    /// The gradients of weight and bias.
    pub sums: Vec<Sums>,
}

/// Backward of the forward that saved this, with the same epilogue and mask. Twin of
/// shaders/backward/cached_gradient.wgsl and persistent_gradient.wgsl, which differ in how often they read; and of
/// finalize_gradients.wgsl, whose sums it returns.
pub fn backward(x: &[f32], dy: &[f32], shape: Shape, saved: &[Saved], options: &Options<'_>) -> Gradients {
    let sums = gradient_sums(x, dy, shape, saved, options);
    let (dx, dz) = input_gradient(x, dy, shape, saved, &sums, options);
    Gradients { dx, dz, sums }
}
