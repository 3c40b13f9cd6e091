//! What a case left on the device, and errors as texts.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::Buffer;
use wgpu_batchnorm::{BatchNorm, State};

use super::tensor::Result;

pub async fn values(gpu: &Gpu, buffer: &Buffer) -> Result<Vec<f32>> {
    gpu.read(buffer).await.map_err(said)
}

pub async fn read_state(gpu: &Gpu, norm: &BatchNorm) -> Result<State> {
    norm.read_state(&gpu.queue).await.map_err(said)
}

pub fn said(error: impl std::error::Error) -> String {
    error.to_string()
}
