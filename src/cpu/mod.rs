//! The reference on the CPU, that works in float64 throughout: [`train`], [`evaluate`] and [`backward`] with all
//! [`Options`] of the steps on a device, and the [`parts`] that they are made of. A function names the kernels that it is
//! the twin of, to be read beside their WGSL. It is written to be obviously right, not to be fast.
//!
//! Tensors are slices in the [`Shape`](crate::Shape)'s layout, float32 or widened to it, which is exact for every
//! [`StorageType`](crate::StorageType). Results are float64, so that the result of a device can be held against them.
//! Checked against PyTorch's float64 results and by finite differences in tests/cpu.
//!
//! ```
//! use wgpu_batchnorm::cpu::{Layer, Options, backward, train};
//! use wgpu_batchnorm::{Activation, BatchNormDescriptor, Shape};
//!
//! let shape = Shape::rows(4, 1);
//! let mut layer = Layer::new(&BatchNormDescriptor { features: 1, ..Default::default() });
//! let options = Options::default().activation(Activation::Relu).residual(&[0.0, 0.0, 0.0, 9.0]);
//! let forward = train(&[1.0, 1.0, 3.0, 3.0], shape, &mut layer, &options);
//! let gradients = backward(&[1.0, 1.0, 3.0, 3.0], &[1.0; 4], shape, &forward.saved, &options);
//! assert_eq!(forward.y[0], 0.0);
//! assert_eq!(gradients.dz, [0.0, 0.0, 1.0, 1.0]);
//! ```
//!
//! # Panics
//! Slices shorter than the shape, and vectors of another length than C, panic.

mod apply;
mod backward;
mod finalize;
mod forward;
mod function;
mod gather;
mod input_gradient;
mod layer;
mod moments;
mod options;
mod sums;
mod valid;

pub use backward::{Gradients, backward};
pub use finalize::Saved;
pub use forward::{Forward, evaluate, train};
pub use function::Function;
pub use layer::Layer;
pub use moments::{Moments, merge};
pub use options::Options;
pub use sums::Sums;

/// The steps that [`train`] and [`backward`] are made of, for a batch that comes in parts or lies on several machines.
///
/// Forward: [`moments`](parts::moments) of every part, [`gather_moments`](parts::gather_moments) over the parts,
/// [`finalize`](parts::finalize) once, and [`apply`](parts::apply) to every part. Backward:
/// [`gradient_sums`](parts::gradient_sums) of every part, [`gather_sums`](parts::gather_sums), and [`input_gradient`](parts::input_gradient) of every
/// part. [`Options::of_examples`] cuts what options hold into parts.
pub mod parts {
    pub use super::apply::apply;
    pub use super::finalize::{Finalized, finalize};
    pub use super::gather::{gather_moments, gather_sums};
    pub use super::input_gradient::input_gradient;
    pub use super::moments::{merge, moments};
    pub use super::sums::gradient_sums;
}
