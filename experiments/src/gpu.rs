//! What every experiment works with: a device, the layer's context and the pipelines of the other layers.

#[cfg(feature = "program")]
use anyhow::{Context as _, Result};
#[cfg(feature = "program")]
use wgpu_batchnorm::headless;
use wgpu_batchnorm::wgpu;

use crate::kernels::Kernels;

/// Cloning it refers to the same device and pipelines.
#[derive(Clone)]
pub struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub context: wgpu_batchnorm::Context,
    pub kernels: Kernels,
    /// The adapter and its driver.
    pub name: String,
}

impl Gpu {
    #[cfg(feature = "program")]
    pub fn new() -> Result<Self> {
        let gpu = headless::Gpu::new().context("the experiments need a GPU or a software adapter")?;
        let name = gpu.describe();
        let headless::Gpu { device, queue } = gpu;
        Ok(Self::with_device(device, queue, name))
    }

    /// On a device of the caller's.
    pub fn with_device(device: wgpu::Device, queue: wgpu::Queue, name: String) -> Self {
        let context = wgpu_batchnorm::Context::new(&device);
        let kernels = Kernels::new(&device);
        Self { device, queue, context, kernels, name }
    }

    /// Records into one encoder and submits it, without waiting.
    pub fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> wgpu::SubmissionIndex {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder);
        self.queue.submit([encoder.finish()])
    }

    /// Waits for all that was submitted.
    #[cfg(feature = "program")]
    pub fn wait(&self) -> Result<()> {
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }
}
