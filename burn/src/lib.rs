#![doc = include_str!("../../docs/burn.md")]
#![deny(missing_docs, unsafe_code)]

mod autodiff;
mod buffers;
mod cube;
mod device;
mod entry;
mod module;
mod ops;
mod options;
mod steps;
mod view;

pub use device::{ShareError, init, share};
pub use module::{BatchNorm, BatchNormConfig};
