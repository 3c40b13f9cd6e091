//! Trains a network on the digits, and measures it along the way.

use anyhow::Result;
use serde::Serialize;
use testkit::buffers::download;
use wgpu_batchnorm::wgpu;

use super::{BATCH, EVERY, HIDDEN, RATE, STEPS, Task};
use crate::gpu::Gpu;
use crate::kernels::Step;
use crate::network::{Dropout, Mode, Network, Normalization};
use crate::pass::Pass;
use crate::tensor::Tensor;
use crate::trainer::Run;

/// Rows of a batch whose sigmoid inputs are kept.
const WATCHED_ROWS: u32 = 512;

/// Which inputs of the last hidden layer's sigmoids to keep with each measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    Nothing,
    /// Those for the test set, in evaluation mode.
    Test,
    /// Those of the training batch, in training mode.
    Batch,
}

/// What is trained, and how.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub name: &'a str,
    pub normalization: Normalization,
    pub dropout: Option<Dropout>,
    /// Sigmoids of each hidden layer.
    pub hidden: &'a [u32],
    pub seed: u64,
    pub steps: u32,
    pub batch: u32,
    pub rate: f32,
    /// Steps between measurements, of which there is also one before the first step.
    pub every: u32,
    pub watch: Watch,
}

impl<'a> Plan<'a> {
    /// The figure's: see the constants of this module.
    pub fn new(name: &'a str, normalization: Normalization) -> Self {
        Self {
            name,
            normalization,
            dropout: None,
            hidden: &HIDDEN,
            seed: 0,
            steps: STEPS,
            batch: BATCH,
            rate: RATE,
            every: EVERY,
            watch: Watch::Nothing,
        }
    }

    fn network(&self, gpu: &Gpu, task: &Task) -> Result<Network> {
        let network = task.network_of(gpu, self.hidden, self.normalization, self.seed)?;
        Ok(network.with_dropout(self.dropout))
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// When the accuracy was measured: so many updates before it.
    pub steps: Vec<u32>,
    /// Share of right answers on the test set, in evaluation mode.
    pub accuracy: Vec<f32>,
    pub train_loss: Vec<f32>,
    pub steps_per_second: f64,
}

impl Curve {
    pub fn best(&self) -> f32 {
        self.accuracy.iter().copied().fold(0.0, f32::max)
    }

    pub fn last(&self) -> f32 {
        self.accuracy.last().copied().unwrap_or(0.0)
    }

    /// The first measurement that reaches `accuracy`.
    pub fn first_step_at(&self, accuracy: f32) -> Option<u32> {
        let at = self.accuracy.iter().position(|&value| value >= accuracy)?;
        Some(self.steps[at])
    }
}

/// What was watched: records × rows × features.
pub struct Watched {
    pub steps: Vec<u32>,
    rows: usize,
    features: usize,
    values: Vec<f32>,
}

impl Watched {
    /// All rows of one feature in one record.
    fn column(&self, record: usize, feature: usize) -> impl Iterator<Item = f32> + '_ {
        let size = self.rows * self.features;
        self.values[record * size..][..size].iter().skip(feature).step_by(self.features).copied()
    }

    /// The 15th, 50th and 85th percentiles of a feature in every record.
    pub fn percentiles(&self, feature: usize) -> Vec<[f32; 3]> {
        let of = |record: usize| {
            let mut values: Vec<f32> = self.column(record, feature).collect();
            values.sort_by(f32::total_cmp);
            [15, 50, 85].map(|percent| values[(values.len() - 1) * percent / 100])
        };
        (0..self.steps.len()).map(of).collect()
    }

    /// The feature whose median moves over a median range, among all features.
    pub fn typical_feature(&self) -> usize {
        let range = |feature: usize| {
            let medians = self.percentiles(feature).into_iter().map(|p| p[1]);
            let (low, high) = medians.fold((f32::MAX, f32::MIN), |(low, high), m| (low.min(m), high.max(m)));
            high - low
        };
        let mut features: Vec<_> = (0..self.features).map(|feature| (range(feature), feature)).collect();
        features.sort_by(|a, b| a.0.total_cmp(&b.0));
        features[features.len() / 2].1
    }

    /// How far a feature's mean moves between one record and the next, averaged over features and records. Not from
    /// the first record: before the first step there is no training batch.
    pub fn drift(&self) -> f64 {
        let mean = |record: usize, feature: usize| {
            self.column(record, feature).map(f64::from).sum::<f64>() / self.rows as f64
        };
        let moves = (2..self.steps.len())
            .flat_map(|record| (0..self.features).map(move |feature| (record, feature)))
            .map(|(record, feature)| (mean(record, feature) - mean(record - 1, feature)).abs());
        moves.sum::<f64>() / ((self.steps.len() - 2) * self.features) as f64
    }
}

pub struct Trained {
    pub network: Network,
    pub curve: Curve,
    pub watched: Option<Watched>,
}

/// Trains a network, and measures it along the way.
///
/// # Errors
/// [`Diverged`](crate::trainer::Diverged), where a loss is not finite.
pub fn train(gpu: &Gpu, task: &Task, plan: &Plan) -> Result<Trained> {
    let &Plan { name, seed, steps, batch, rate, every, .. } = plan;
    let network = plan.network(gpu, task)?;
    let pass = network.prepare(batch, Mode::Train, steps)?;
    let gather = task.gather_train(gpu, &pass, &task.schedule(batch, steps, seed));
    let test = Test::new(gpu, task, plan, &network, &pass)?;
    let measure = |number: u32, encoder: &mut wgpu::CommandEncoder| {
        if number.is_multiple_of(every) {
            test.record(gpu, number / every, encoder);
        }
    };
    let run = Run { name, pass: &pass, gather: Some(&gather), steps, rate, seed: seed as u32 };
    let outcome = run.train(gpu, measure)?;
    gpu.submit(|encoder| measure(steps, encoder));

    let marks: Vec<u32> = (0..test.records).map(|record| record * every).collect();
    let correct: Vec<u32> = download(&gpu.device, &gpu.queue, test.evaluation.correct.binding());
    let curve = Curve {
        steps: marks.clone(),
        accuracy: correct.iter().map(|&right| right as f32 / test.evaluation.rows as f32).collect(),
        train_loss: outcome.losses,
        steps_per_second: f64::from(steps) / outcome.time.as_secs_f64(),
    };
    let watched = test.watched.map(|watched| watched.read(gpu, marks));
    Ok(Trained { network, curve, watched })
}

/// Evaluation on the test set, and what is kept of it.
struct Test {
    evaluation: Pass,
    records: u32,
    watched: Option<Kept>,
}

impl Test {
    fn new(gpu: &Gpu, task: &Task, plan: &Plan, network: &Network, train: &Pass) -> Result<Self> {
        let records = plan.steps / plan.every + 1;
        let rows = task.data.test.len() as u32;
        let evaluation = network.prepare(rows, Mode::Evaluate, records)?;
        let all: Vec<u32> = (0..rows).collect();
        let gather = task.gather_test(gpu, &evaluation, &all);
        evaluation.set(gpu, Step::default());
        gpu.submit(|encoder| gather.record(&mut encoder.begin_compute_pass(&Default::default())));
        let source = match plan.watch {
            Watch::Nothing => None,
            Watch::Test => evaluation.preactivations.last(),
            Watch::Batch => train.preactivations.last(),
        };
        let features = plan.hidden.last().copied().unwrap_or_default();
        let watched = source.map(|source| Kept::new(gpu, source, features, records));
        Ok(Self { evaluation, records, watched })
    }

    fn record(&self, gpu: &Gpu, slot: u32, encoder: &mut wgpu::CommandEncoder) {
        self.evaluation.set(gpu, Step { slot, ..Default::default() });
        self.evaluation.forward(&mut encoder.begin_compute_pass(&Default::default()));
        if let Some(watched) = &self.watched {
            watched.record(slot, encoder);
        }
    }
}

/// Inputs of sigmoids, record after record.
struct Kept {
    source: Tensor,
    features: u32,
    /// Values of a record.
    len: u32,
    history: Tensor,
}

impl Kept {
    fn new(gpu: &Gpu, source: &Tensor, features: u32, records: u32) -> Self {
        let len = source.len.min(WATCHED_ROWS * features);
        let history = Tensor::zeros(&gpu.device, "history", records * len);
        Self { source: source.clone(), features, len, history }
    }

    fn record(&self, slot: u32, encoder: &mut wgpu::CommandEncoder) {
        let (source, size) = (&self.source, u64::from(self.len) * 4);
        let to = u64::from(slot) * size;
        encoder.copy_buffer_to_buffer(&source.buffer, source.offset, &self.history.buffer, to, size);
    }

    fn read(&self, gpu: &Gpu, steps: Vec<u32>) -> Watched {
        let values = download(&gpu.device, &gpu.queue, self.history.binding());
        let features = self.features as usize;
        Watched { steps, rows: self.len as usize / features, features, values }
    }
}
