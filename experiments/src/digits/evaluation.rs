//! Evaluation of a trained network with statistics of the images that are evaluated.

use anyhow::Result;
use testkit::buffers::download;

use super::Task;
use crate::gpu::Gpu;
use crate::kernels::Step;
use crate::network::{Mode, Network};

/// Accuracy on the test images of `order`, with the statistics of batches of `batch` of them.
pub fn accuracy_on_batches(
    gpu: &Gpu,
    task: &Task,
    network: &Network,
    batch: u32,
    order: &[u32],
) -> Result<f32> {
    let batches = order.len() as u32 / batch;
    let pass = network.prepare(batch, Mode::EvaluateOnBatch, batches)?;
    let gather = task.gather_test(gpu, &pass, order);
    for slot in 0..batches {
        pass.evaluate(gpu, &gather, Step { slot, first: slot * batch, ..Default::default() });
    }
    let correct: Vec<u32> = download(&gpu.device, &gpu.queue, pass.correct.binding());
    Ok(correct.iter().sum::<u32>() as f32 / (batches * batch) as f32)
}

/// The same with the statistics of all test images.
pub fn accuracy_on_test_set(gpu: &Gpu, task: &Task, network: &Network) -> Result<f32> {
    let all: Vec<u32> = (0..task.data.test.len() as u32).collect();
    accuracy_on_batches(gpu, task, network, all.len() as u32, &all)
}
