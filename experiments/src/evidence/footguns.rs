//! What goes wrong with batch normalization, in numbers.

use anyhow::Result;
use comfy_table::Table;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use wgpu_batchnorm::Convention;

use super::Lab;
use super::findings::{Findings, table};
use crate::digits::{self, Curve, Plan, STEPS, Task, accuracy_on_batches, accuracy_on_test_set};
use crate::gpu::Gpu;
use crate::network::{Network, Normalization};
use crate::regression;

#[derive(Debug, Serialize)]
struct Report {
    /// Accuracy of a net trained in batches of 60, with running statistics and with those of each test batch.
    running_statistics: f32,
    batch_statistics: Vec<BatchEvaluation>,
    batch_sizes: Vec<BatchSize>,
    batch_size_steps: u32,
    /// Evaluation loss of the regression with either running variance.
    regression_biased_eval_loss: f32,
    regression_unbiased_eval_loss: f32,
}

/// Accuracy of one trained net on the test set, evaluated with the statistics of batches of `batch` images.
#[derive(Clone, Debug, Serialize)]
struct BatchEvaluation {
    batch: u32,
    /// Images in random order: batches are small samples of all digits.
    mixed: f32,
    /// Images sorted by digit: batches are skewed, most hold a single digit.
    sorted: f32,
}

/// A net trained with small batches, evaluated with its running statistics.
#[derive(Clone, Debug, Serialize)]
struct BatchSize {
    batch: u32,
    /// Accuracy after the last step: PyTorch's unbiased running variance, the biased one, and for comparison
    /// batch statistics of the whole test set.
    unbiased: f32,
    biased: f32,
    test_statistics: f32,
    /// Mean training loss of the last 50 steps.
    train_loss: f32,
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let Lab { gpu, task, recorded, scope } = lab;
    let plan =
        Plan { steps: scope.pick(20, STEPS, STEPS), ..Plan::new("to be evaluated", Normalization::BATCH) };
    let trained = digits::train(gpu, task, &plan)?;
    let whole = task.data.test.len() as u32;
    let eval_loss = |name: &str, convention| {
        let normalization = Normalization::Batch(convention);
        let steps = scope.pick(2, regression::STEPS, regression::STEPS);
        let curve = regression::train(gpu, name, &recorded.task, normalization, steps, regression::RATE)?;
        anyhow::Ok(curve.eval_loss)
    };
    let batch_size_steps = scope.pick(5, 1000, 1000);
    let report = Report {
        running_statistics: trained.curve.last(),
        batch_statistics: evaluate_on_batches(gpu, task, &trained.network, &[whole, 60, 32, 8, 4, 2])?,
        batch_sizes: batch_sizes(gpu, task, &[2, 4, 8, 32, 60], batch_size_steps)?,
        batch_size_steps,
        regression_biased_eval_loss: eval_loss("regression, biased variance", Convention::Burn)?,
        regression_unbiased_eval_loss: eval_loss("regression, unbiased variance", Convention::PyTorch)?,
    };
    Ok(Findings::new(&report)?.tables([report.evaluation(), report.sizes(), report.bias()]))
}

/// Evaluates with batch statistics where running statistics belong.
fn evaluate_on_batches(
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

/// Trains with these batch sizes, the same number of steps each, with either running variance.
fn batch_sizes(gpu: &Gpu, task: &Task, sizes: &[u32], steps: u32) -> Result<Vec<BatchSize>> {
    sizes
        .iter()
        .map(|&batch| {
            let run = |convention: Convention| {
                let name = format!("batches of {batch}, {convention:?}'s convention");
                let plan = Plan { steps, batch, ..Plan::new(&name, Normalization::Batch(convention)) };
                digits::train(gpu, task, &plan)
            };
            // Burn's convention is PyTorch's but for the biased running variance.
            let (unbiased, biased) = (run(Convention::PyTorch)?, run(Convention::Burn)?);
            Ok(BatchSize {
                batch,
                unbiased: unbiased.curve.last(),
                biased: biased.curve.last(),
                test_statistics: accuracy_on_test_set(gpu, task, &unbiased.network)?,
                train_loss: recent(&unbiased.curve),
            })
        })
        .collect()
}

fn recent(curve: &Curve) -> f32 {
    let last = &curve.train_loss[curve.train_loss.len().saturating_sub(50)..];
    last.iter().sum::<f32>() / last.len() as f32
}

impl Report {
    fn evaluation(&self) -> Table {
        let mut table =
            table(["evaluated with the statistics of", "images in random order", "images sorted by digit"]);
        let running = format!("{:.3}", self.running_statistics);
        table.add_row(["training (running)".into(), running.clone(), running]);
        for BatchEvaluation { batch, mixed, sorted } in &self.batch_statistics {
            table.add_row([format!("each batch of {batch}"), format!("{mixed:.3}"), format!("{sorted:.3}")]);
        }
        table
    }

    fn sizes(&self) -> Table {
        let mut table = table([
            "trained in batches of",
            "train loss",
            "unbiased running variance",
            "biased",
            "statistics of the test set",
        ]);
        for size in &self.batch_sizes {
            table.add_row([
                size.batch.to_string(),
                format!("{:.3}", size.train_loss),
                format!("{:.3}", size.unbiased),
                format!("{:.3}", size.biased),
                format!("{:.3}", size.test_statistics),
            ]);
        }
        table
    }

    fn bias(&self) -> Table {
        let mut table = table(["deep regression", "evaluation loss"]);
        let row = |name: &str, loss: f32| [name.to_owned(), format!("{loss:.2e}")];
        table.add_row(row("unbiased running variance", self.regression_unbiased_eval_loss));
        table.add_row(row("biased running variance", self.regression_biased_eval_loss));
        table
    }
}
