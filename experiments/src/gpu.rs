//! What every experiment works with: a device, the layer's context and the pipelines of the other layers.

use anyhow::{Context as _, Result};
use wgpu_batchnorm::headless;
use wgpu_batchnorm::wgpu;

use crate::kernels::Kernels;

pub struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub context: wgpu_batchnorm::Context,
    pub kernels: Kernels,
    /// The adapter and its driver.
    pub name: String,
}

impl Gpu {
    pub fn new() -> Result<Self> {
        let gpu = headless::Gpu::new().context("the experiments need a GPU or a software adapter")?;
        let name = gpu.describe();
        let headless::Gpu { device, queue } = gpu;
        let context = wgpu_batchnorm::Context::new(&device);
        let kernels = Kernels::new(&device);
        Ok(Self { device, queue, context, kernels, name })
    }

    /// Records into one encoder and submits it, without waiting.
    pub fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> wgpu::SubmissionIndex {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder);
        self.queue.submit([encoder.finish()])
    }
}
