//! The device that a test runs on, and the bytes on it.

use wgpu_batchnorm::Context;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu;

pub use crate::buffers::{download, part, whole};
use crate::shared::shared;

/// The device of this thread. Panics where there is none, and says what to install.
pub fn gpu() -> &'static Gpu {
    &shared().gpu
}

/// The device's context, so that each pipeline is built once for all tests on it.
pub fn context() -> &'static Context {
    &shared().context
}

/// The float32 values of a buffer of the shared device.
pub fn values(buffer: &wgpu::Buffer) -> Vec<f32> {
    download(&gpu().device, &gpu().queue, whole(buffer))
}
