//! The training loop: one submission per step, losses read back without waiting for them.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu;

use crate::gpu::Gpu;
use crate::kernels::Step;
use crate::pass::Pass;
use crate::tensor::Tensor;

/// Losses are fetched every so many steps.
const CHUNK: u32 = 20;
/// The host may be ahead of the device by so many chunks.
const AHEAD: usize = 3;

/// One run of a network.
pub struct Run<'a> {
    /// What is trained, for the progress bar and for errors.
    pub name: &'a str,
    pub pass: &'a Pass,
    /// Picks the examples of each step, where they change.
    pub gather: Option<&'a Dispatch>,
    pub steps: u32,
    pub rate: f32,
    pub seed: u32,
}

/// What a run leaves on the host.
pub struct Outcome {
    /// The loss of every step, before its update.
    pub losses: Vec<f32>,
    pub time: Duration,
}

/// A loss that is not a number or infinite.
#[derive(Debug)]
pub struct Diverged {
    name: String,
    loss: f32,
    step: u32,
    steps: u32,
}

impl std::fmt::Display for Diverged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, loss, step, steps } = self;
        write!(f, "{name}: the loss is {loss} at step {step} of {steps}; training stopped")
    }
}

impl std::error::Error for Diverged {}

/// What was trained, or nothing where it diverged.
pub fn unless_diverged<T>(trained: Result<T>) -> Result<Option<T>> {
    match trained {
        Err(error) if error.is::<Diverged>() => Ok(None),
        trained => trained.map(Some),
    }
}

impl Run<'_> {
    /// The step with this number, on its own examples.
    pub fn step(&self, number: u32) -> Step {
        let first = if self.gather.is_some() { number * self.pass.rows } else { 0 };
        Step { slot: number, first, seed: self.seed, rate: self.rate }
    }

    /// Trains. `before` is called before each step, to record what is to be seen of the network then into the same
    /// submission.
    ///
    /// # Errors
    /// [`Diverged`], with the number of the step.
    pub fn train(
        &self,
        gpu: &Gpu,
        mut before: impl FnMut(u32, &mut wgpu::CommandEncoder),
    ) -> Result<Outcome> {
        let bar = progress_bar(self.name, self.steps);
        let start = Instant::now();
        let mut reader = LossReader::new(gpu, self.name, &self.pass.losses, self.steps);
        for number in 0..self.steps {
            self.pass.set(gpu, self.step(number));
            gpu.submit(|encoder| {
                before(number, encoder);
                let mut compute = encoder.begin_compute_pass(&Default::default());
                if let Some(gather) = self.gather {
                    gather.record(&mut compute);
                }
                self.pass.forward(&mut compute);
                self.pass.backward(&mut compute);
                self.pass.update(&mut compute);
            });
            if (number + 1).is_multiple_of(CHUNK) || number + 1 == self.steps {
                reader.fetch(number + 1);
                reader.receive(AHEAD)?;
                if let Some(loss) = reader.losses.last() {
                    bar.set_message(format!("{loss:.3e}"));
                }
                bar.set_position(reader.losses.len() as u64);
            }
        }
        reader.receive(0)?;
        bar.finish_and_clear();
        Ok(Outcome { losses: reader.losses, time: start.elapsed() })
    }
}

/// Copies finished stretches of a growing array of losses, a few stretches behind the device.
struct LossReader<'a> {
    gpu: &'a Gpu,
    name: &'a str,
    source: &'a Tensor,
    steps: u32,
    requested: u32,
    pending: VecDeque<(wgpu::Buffer, wgpu::SubmissionIndex, Range<u32>)>,
    losses: Vec<f32>,
}

impl<'a> LossReader<'a> {
    fn new(gpu: &'a Gpu, name: &'a str, source: &'a Tensor, steps: u32) -> Self {
        Self { gpu, name, source, steps, requested: 0, pending: VecDeque::new(), losses: vec![] }
    }

    /// Asks for the losses of all steps submitted so far, `end` of them.
    fn fetch(&mut self, end: u32) {
        let range = self.requested..end;
        self.requested = end;
        let size = u64::from(range.end - range.start) * 4;
        let staging = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("losses"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let index = self.gpu.submit(|encoder| {
            let from = self.source.offset + u64::from(range.start) * 4;
            encoder.copy_buffer_to_buffer(&self.source.buffer, from, &staging, 0, size);
        });
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        self.pending.push_back((staging, index, range));
    }

    /// Takes in the oldest stretches until at most `left` are pending, waiting where they are not finished.
    fn receive(&mut self, left: usize) -> Result<()> {
        while self.pending.len() > left {
            let Some((staging, index, range)) = self.pending.pop_front() else { break };
            self.gpu.device.poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: None })?;
            let view = staging.get_mapped_range(..)?;
            let losses: Vec<f32> = bytemuck::pod_collect_to_vec(&view[..]);
            if let Some((step, &loss)) = range.zip(&losses).find(|(_, loss)| !loss.is_finite()) {
                return Err(Diverged { name: self.name.into(), loss, step, steps: self.steps }.into());
            }
            self.losses.extend(losses);
        }
        Ok(())
    }
}

fn progress_bar(name: &str, steps: u32) -> ProgressBar {
    let template = "{prefix:32} {bar:30} {pos:>4}/{len} {rate:>13}  loss {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is valid").with_key(
        "rate",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0} steps/s", state.per_sec());
        },
    );
    ProgressBar::new(u64::from(steps)).with_style(style).with_prefix(name.to_owned()).with_message("-")
}
