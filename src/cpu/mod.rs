//! The reference on the CPU: a twin of every kernel under the kernel's name, to be read beside its WGSL, that works in
//! float64 throughout. It is written to be obviously right, not to be fast.
//!
//! Tensors are slices in the [`Shape`]'s layout; results are float64, so that a float32 result can be held against
//! them. Checked against PyTorch's float64 results and by finite differences in tests/cpu.rs.
//!
//! # Panics
//! Slices shorter than the shape, and vectors of another length than C, panic.

mod backward;
mod forward;
mod moments;

pub use backward::{Sums, backward};
pub use forward::{Saved, evaluate, train};
pub use moments::{Moments, merge};

use crate::layer::{BatchNormDescriptor, State};
use crate::tensor::Shape;

/// A layer on the CPU: what a [`BatchNorm`](crate::BatchNorm) keeps on the device, in float64. Vectors have C values
/// whether the layer has them or not: a missing weight is 1, a missing bias 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What the layer is.
    pub descriptor: BatchNormDescriptor<'static>,
    /// γ.
    pub weight: Vec<f64>,
    /// β.
    pub bias: Vec<f64>,
    /// Running mean of each feature.
    pub running_mean: Vec<f64>,
    /// Running variance of each feature.
    pub running_var: Vec<f64>,
    /// Training steps that moved the running statistics.
    pub num_batches_tracked: u64,
}

impl Layer {
    /// A layer as [`BatchNorm::new`](crate::BatchNorm::new) makes it.
    pub fn new(descriptor: &BatchNormDescriptor<'_>) -> Self {
        let features = descriptor.features as usize;
        Self {
            descriptor: BatchNormDescriptor { label: None, ..*descriptor },
            weight: vec![1.0; features],
            bias: vec![0.0; features],
            running_mean: vec![0.0; features],
            running_var: vec![1.0; features],
            num_batches_tracked: 0,
        }
    }

    /// A layer with the state of another. Vectors that the state does not have (that are empty) keep their initial
    /// values.
    ///
    /// # Panics
    /// Where a vector has another length than C.
    pub fn with_state(descriptor: &BatchNormDescriptor<'_>, state: &State) -> Self {
        let mut layer = Self::new(descriptor);
        for (to, values) in [
            (&mut layer.weight, &state.weight),
            (&mut layer.bias, &state.bias),
            (&mut layer.running_mean, &state.running_mean),
            (&mut layer.running_var, &state.running_var),
        ] {
            if !values.is_empty() {
                assert_eq!(values.len(), to.len(), "values in a vector of the state");
                *to = values.iter().copied().map(f64::from).collect();
            }
        }
        layer.num_batches_tracked = state.num_batches_tracked;
        layer
    }
}

/// The indices of each feature's values, in the tensor's order.
fn indices(shape: Shape, feature: usize) -> impl Iterator<Item = usize> {
    let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
    let features = shape.features() as usize;
    (0..outer).flat_map(move |o| (0..inner).map(move |i| (o * features + feature) * inner + i))
}
