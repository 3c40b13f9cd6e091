//! The kernels: a table of what each is made of and binds, WGSL composed from it, and pipelines on a device.

mod access;
mod arena;
mod compose;
mod context;
mod declare;
mod device;
mod files;
mod fused;
mod halves;
mod params;
mod pipeline;
mod queue;
mod readback;
mod role;
mod sample;
mod table;
mod unroll;
mod variant;

pub(crate) use arena::Range;
pub use compose::{shaders, shaders_of};
pub(crate) use context::Uniform;
pub use context::{Context, ContextOptions};
pub use device::DeviceError;
pub(crate) use device::{alive, checked, filled};
pub(crate) use files::current;
pub(crate) use fused::Fused;
pub(crate) use params::Params;
pub use pipeline::PipelineError;
pub(crate) use pipeline::{Constants, Key, Pipeline};
pub(crate) use readback::Readback;
pub(crate) use role::Role;
pub use sample::{pairs, pairwise};
pub(crate) use table::Access;
pub(crate) use variant::Variant;
