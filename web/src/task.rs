//! What is learned, on the device, and how its examples get to a network.

use anyhow::{Context as _, Result, ensure};
use batchnorm_experiments::data::{Recorded, Regression};
use batchnorm_experiments::digits;
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::kernels::Step;
use batchnorm_experiments::network::{Linear, Loss};
use batchnorm_experiments::pass::Pass;
use batchnorm_experiments::regression;
use batchnorm_experiments::tensor::Tensor;
use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu;

use crate::settings::{Learn, Settings};

/// Orders of the training images that the device holds; then they start anew.
const EPOCHS: u32 = 8;

/// What the page fetched.
#[derive(Default)]
pub struct Data {
    pub recorded: Option<Recorded>,
    pub digits: Option<digits::Task>,
}

/// A task with the initial weights of its networks.
pub enum Task<'a> {
    Regression(Regression),
    Digits { task: &'a digits::Task, layers: Vec<Linear> },
}

impl<'a> Task<'a> {
    pub fn new(data: &'a Data, settings: &Settings) -> Result<Self> {
        Ok(match settings.learn {
            Learn::Recorded => {
                let recorded = data.recorded.as_ref().context("the recorded regression was not fetched")?;
                Self::Regression(recorded.task.clone())
            }
            Learn::Regression => {
                Self::Regression(regression::own_task_of(&settings.hidden(), settings.seed.into()))
            }
            Learn::Digits => {
                let task = data.digits.as_ref().context("the digits were not fetched")?;
                Self::Digits { task, layers: task.layers(&settings.hidden(), settings.seed.into())? }
            }
        })
    }

    pub fn layers(&self) -> &[Linear] {
        match self {
            Self::Regression(regression) => &regression.layers,
            Self::Digits { layers, .. } => layers,
        }
    }

    pub fn loss(&self) -> Loss {
        match self {
            Self::Regression(_) => Loss::MeanSquared,
            Self::Digits { .. } => Loss::CrossEntropy,
        }
    }

    /// Examples to train on.
    pub fn examples(&self) -> u32 {
        match self {
            Self::Regression(regression) => regression.rows,
            Self::Digits { task, .. } => task.data.train.len() as u32,
        }
    }

    /// Examples that networks are evaluated on: those of the regression, the test images of the digits.
    pub fn evaluated(&self) -> u32 {
        match self {
            Self::Regression(regression) => regression.rows,
            Self::Digits { task, .. } => task.data.test.len() as u32,
        }
    }

    /// Fills a pass over all that is evaluated.
    pub fn fill(&self, gpu: &Gpu, pass: &Pass) {
        match self {
            Self::Regression(regression) => {
                pass.inputs.write(&gpu.queue, &regression.x);
                pass.targets.write(&gpu.queue, &regression.y);
            }
            Self::Digits { task, .. } => {
                let all: Vec<u32> = (0..self.evaluated()).collect();
                let all = Tensor::upload(&gpu.device, "examples", &all);
                let gather = task.gather_tested(gpu, pass, &all);
                pass.set(gpu, Step::default());
                gpu.submit(|encoder| gather.record(&mut encoder.begin_compute_pass(&Default::default())));
                all.buffer.destroy();
            }
        }
    }

    /// What gives a pass the examples of each step.
    pub fn feed(&self, gpu: &Gpu, pass: &Pass, seed: u32) -> Result<Feed> {
        let (batch, examples) = (pass.rows, self.examples());
        ensure!((2..=examples).contains(&batch), "a batch is of 2 to {examples} examples, not {batch}");
        let batches = examples / batch;
        Ok(match self {
            Self::Regression(regression) => Feed {
                batches,
                batch,
                source: Source::Rows {
                    from: [&regression.x, &regression.y].map(|v| Tensor::upload(&gpu.device, "task", v)),
                    to: [pass.inputs.clone(), pass.targets.clone()],
                },
            },
            Self::Digits { task, .. } => {
                let batches = batches * EPOCHS;
                let schedule = task.schedule(batch, batches, seed.into());
                let examples =
                    Tensor::upload(&gpu.device, "examples", &schedule[..(batches * batch) as usize]);
                let gather = task.gather_scheduled(gpu, pass, &examples);
                Feed { batches, batch, source: Source::Images { gather, examples } }
            }
        })
    }
}

/// Gives a pass the examples of each step, batch after batch; behind the last one it starts anew.
pub struct Feed {
    batches: u32,
    batch: u32,
    source: Source,
}

enum Source {
    /// Inputs and targets lie in rows, and are copied.
    Rows {
        from: [Tensor; 2],
        to: [Tensor; 2],
    },
    Images {
        gather: Dispatch,
        examples: Tensor,
    },
}

impl Feed {
    /// The first of the examples of this step, as [`Step`] has it.
    pub fn first(&self, step: u32) -> u32 {
        step % self.batches * self.batch
    }

    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, step: u32) {
        match &self.source {
            Source::Images { gather, .. } => {
                gather.record(&mut encoder.begin_compute_pass(&Default::default()))
            }
            Source::Rows { from, to } => {
                for (from, to) in from.iter().zip(to) {
                    let size = u64::from(to.len) * 4;
                    let start = u64::from(step % self.batches) * size;
                    encoder.copy_buffer_to_buffer(&from.buffer, start, &to.buffer, to.offset, size);
                }
            }
        }
    }

    pub fn destroy(self) {
        match self.source {
            Source::Rows { from, .. } => from.iter().for_each(|tensor| tensor.buffer.destroy()),
            Source::Images { examples, .. } => examples.buffer.destroy(),
        }
    }
}
