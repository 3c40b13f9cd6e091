//! What the tests, benches, examples and experiments of wgpu-batchnorm share.
//!
//! They use the layer mostly through [`prepare`], [`train`](mod@train) and [`layer`](mod@layer), so that a change of
//! its interface is met in few places. How errors are scaled is decided in [`scales`] alone.

#[cfg(feature = "layer")]
pub mod ask;
pub mod bench;
#[cfg(feature = "conformance")]
pub mod buffers;

#[cfg(feature = "layer")]
pub mod close;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod convolution;
#[cfg(feature = "layer")]
pub mod coverage;
#[cfg(feature = "layer")]
pub mod elsewhere;
#[cfg(feature = "layer")]
pub mod fuzz;
#[cfg(feature = "layer")]
pub mod gpu;
#[cfg(feature = "layer")]
pub mod hard;
#[cfg(feature = "conformance")]
pub mod kernel;
#[cfg(feature = "layer")]
pub mod layer;
#[cfg(feature = "conformance")]
pub mod layout;
#[cfg(feature = "layer")]
pub mod masks;
#[cfg(feature = "layer")]
pub mod mutants;
#[cfg(feature = "layer")]
pub mod pairwise;
#[cfg(feature = "layer")]
pub mod parts;
#[cfg(feature = "conformance")]
pub mod plans;
#[cfg(feature = "conformance")]
pub mod prepare;
#[cfg(feature = "layer")]
pub mod profiles;
#[cfg(feature = "layer")]
pub mod random;
#[cfg(feature = "layer")]
pub mod recording;
#[cfg(feature = "conformance")]
pub mod scales;
#[cfg(feature = "layer")]
pub mod shader;
#[cfg(feature = "layer")]
pub mod shared;
#[cfg(feature = "conformance")]
pub mod storage;
#[cfg(feature = "layer")]
pub mod stored;
#[cfg(feature = "layer")]
pub mod train;
