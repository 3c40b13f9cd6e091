//! Runs a case on the GPU, through nothing but the layer's public interface. It never blocks, so that it runs in browsers.

use wgpu_batchnorm::Context;
use wgpu_batchnorm::headless::Gpu;

use super::case::Case;
use super::results::Results;
use super::tensor::Result;
use super::{gpu_extended, gpu_plain};

/// Runs all steps of `case` in order, then its evaluation.
pub async fn run(gpu: &Gpu, context: &Context, case: &Case) -> Result<Results> {
    match case.is_extended() {
        true => gpu_extended::run(gpu, context, case).await,
        false => gpu_plain::run(gpu, context, case).await,
    }
}
