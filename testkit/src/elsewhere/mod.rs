//! Prepared steps run by a WebGPU other than wgpu.

mod dawn;
mod program;

pub use dawn::Dawn;
pub use program::{Buffer, Dispatch, Program, Recorded};
