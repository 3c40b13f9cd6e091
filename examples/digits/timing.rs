//! The time of a step, on the GPU and by the reference.

use std::hint::black_box;
use std::time::Instant;

use indicatif::ProgressBar;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu;

use super::ROUNDS;

/// Of one step, on average.
pub struct Timing {
    pub path: String,
    pub bytes: f64,
    pub gpu_seconds: f64,
    pub cpu_seconds: f64,
}

pub fn time<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

/// Seconds from submission to completion.
pub fn time_on_gpu(
    gpu: &Gpu,
    record: impl FnOnce(&mut wgpu::ComputePass<'_>),
) -> Result<f64, wgpu::PollError> {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    let commands = encoder.finish();
    let start = Instant::now();
    gpu.queue.submit([commands]);
    gpu.device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok(start.elapsed().as_secs_f64())
}

pub fn median(
    progress: &ProgressBar,
    mut measure: impl FnMut() -> Result<f64, wgpu::PollError>,
) -> Result<f64, wgpu::PollError> {
    let mut seconds = Vec::new();
    for _ in 0..ROUNDS {
        seconds.push(measure()?);
        progress.inc(1);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[ROUNDS / 2])
}
