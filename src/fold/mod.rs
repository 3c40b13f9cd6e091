//! Folding: an evaluation with running statistics is a scale and a shift of each feature, which the weights of a linear or
//! convolutional layer beside it can take over. The network then has a layer less to compute.
//!
//! ```
//! use wgpu_batchnorm::State;
//! use wgpu_batchnorm::fold::WeightShape;
//!
//! // y = batch_norm(weight · x + bias), with 2 outputs and 3 inputs.
//! let (weight, bias) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.5, -0.5]);
//! let state = State {
//!     weight: vec![2.0, 1.0],
//!     bias: vec![0.0, 1.0],
//!     running_mean: vec![0.5, -0.5],
//!     running_var: vec![4.0, 1.0],
//!     ..Default::default()
//! };
//! let linear = WeightShape::linear(2, 3);
//! let folded = state.scale_and_shift(0.0)?.fold_into_preceding(&linear, &weight, Some(&bias))?;
//! assert_eq!(folded.weight, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
//! assert_eq!(folded.bias, [0.0, 1.0]);
//! # Ok::<(), wgpu_batchnorm::fold::FoldError>(())
//! ```
//!
//! On the host all is computed in float64 and rounded to float32 once, at the end. [`FoldKernel`] folds weights that live on
//! the device, in float32. A batch norm *before* a layer can be folded only where each output sees all the weights: see
//! [`ScaleAndShift::fold_into_following`].

mod affine;
mod device;
mod error;
mod weights;

pub use affine::{Folded, Padding, ScaleAndShift};
pub use device::{Fold, FoldKernel, FoldStep, shader};
pub use error::FoldError;
pub use weights::WeightShape;
