//! Experiment 4, what goes wrong with batch normalization, in numbers.

use anyhow::Result;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use testkit::buffers::download;
use wgpu_batchnorm::Convention;

use crate::digits::{Curve, Plan, Task, Watch, train};
use crate::gpu::Gpu;
use crate::kernels::Step;
use crate::network::{Mode, Network, Normalization};

/// Accuracy of one trained net on the test set, evaluated with the statistics of batches of `batch` images.
#[derive(Clone, Debug, Serialize)]
pub struct BatchEvaluation {
    pub batch: u32,
    /// Images in random order: batches are small samples of all digits.
    pub mixed: f32,
    /// Images sorted by digit: batches are skewed, most hold a single digit.
    pub sorted: f32,
}

/// Evaluates with batch statistics where running statistics belong.
pub fn evaluate_on_batches(
    gpu: &Gpu,
    task: &Task,
    network: &Network,
    sizes: &[u32],
) -> Result<Vec<BatchEvaluation>> {
    let labels = &task.data.test.labels;
    let mut mixed: Vec<u32> = (0..labels.len() as u32).collect();
    mixed.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    let mut sorted = mixed.clone();
    sorted.sort_by_key(|&example| labels[example as usize]);
    sizes
        .iter()
        .map(|&batch| {
            let accuracy = |order: &[u32]| accuracy_on_batches(gpu, task, network, batch, order);
            Ok(BatchEvaluation { batch, mixed: accuracy(&mixed)?, sorted: accuracy(&sorted)? })
        })
        .collect()
}

fn accuracy_on_batches(gpu: &Gpu, task: &Task, network: &Network, batch: u32, order: &[u32]) -> Result<f32> {
    let batches = order.len() as u32 / batch;
    let pass = network.prepare(batch, Mode::EvaluateOnBatch, batches)?;
    let gather = task.gather_test(gpu, &pass, order);
    for slot in 0..batches {
        pass.set(gpu, Step { slot, first: slot * batch, ..Default::default() });
        gpu.submit(|encoder| {
            let mut compute = encoder.begin_compute_pass(&Default::default());
            gather.record(&mut compute);
            pass.forward(&mut compute);
        });
    }
    let correct: Vec<u32> = download(&gpu.device, &gpu.queue, pass.correct.binding());
    Ok(correct.iter().sum::<u32>() as f32 / (batches * batch) as f32)
}

/// A net trained with small batches, evaluated with its running statistics.
#[derive(Clone, Debug, Serialize)]
pub struct BatchSize {
    pub batch: u32,
    /// Accuracy after the last step: PyTorch's unbiased running variance, the biased one, and for comparison
    /// batch statistics of the whole test set.
    pub unbiased: f32,
    pub biased: f32,
    pub test_statistics: f32,
    /// Mean training loss of the last 50 steps.
    pub train_loss: f32,
}

/// Trains with these batch sizes, the same number of steps each, with either running variance.
pub fn batch_sizes(gpu: &Gpu, task: &Task, sizes: &[u32], steps: u32) -> Result<Vec<BatchSize>> {
    let whole = task.data.test.len() as u32;
    sizes
        .iter()
        .map(|&batch| {
            let run = |convention: Convention| {
                let name = format!("batches of {batch}, {convention:?}'s convention");
                let normalization = Normalization::Batch(convention);
                train(
                    gpu,
                    task,
                    &Plan { name: &name, normalization, seed: 0, steps, batch, watch: Watch::Nothing },
                )
            };
            // Burn's convention is PyTorch's but for the biased running variance.
            let (unbiased, biased) = (run(Convention::PyTorch)?, run(Convention::Burn)?);
            let on_whole = evaluate_on_batches(gpu, task, &unbiased.network, &[whole])?;
            Ok(BatchSize {
                batch,
                unbiased: unbiased.curve.last(),
                biased: biased.curve.last(),
                test_statistics: on_whole[0].mixed,
                train_loss: recent(&unbiased.curve),
            })
        })
        .collect()
}

fn recent(curve: &Curve) -> f32 {
    let last = &curve.train_loss[curve.train_loss.len().saturating_sub(50)..];
    last.iter().sum::<f32>() / last.len() as f32
}
