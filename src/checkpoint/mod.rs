//! States of layers from and to checkpoints: safetensors files, under the names of PyTorch or of another framework.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use wgpu_batchnorm::checkpoint::{self, Checkpoint};
//! use wgpu_batchnorm::{Names, State};
//!
//! let state = State { running_mean: vec![0.5, 1.0], running_var: vec![1.0, 4.0], ..Default::default() };
//! let file = checkpoint::encode(&Names::PYTORCH, &[("stem.bn", &state)], &[])?;
//! // Or std::fs::read("model.safetensors")?, of a file that Python's `safetensors.torch.save_file` wrote.
//! let checkpoint = Checkpoint::open(&file)?;
//! assert_eq!(checkpoint.prefixes(&Names::PYTORCH), ["stem.bn"]);
//! assert_eq!(checkpoint.state(&Names::PYTORCH, "stem.bn")?, state);
//! # Ok(())
//! # }
//! ```
//!
//! [`Checkpoint::load`] sets any number of layers, or none of them where one tensor is wrong. [`save`] reads any number of
//! layers with one submission and one wait.

mod error;
mod file;
mod header;
mod save;

pub use error::{LoadError, SaveError};
pub use file::Checkpoint;
pub use safetensors;
pub use save::{encode, save};
