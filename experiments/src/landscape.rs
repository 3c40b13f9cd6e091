//! Experiment 3, why it works: the measurements of Santurkar et al. 2018 on the net of experiment 2.
//!
//! Every so many steps the loss and its gradient are taken at the present parameters and at points further along
//! the step, on the same batch: how much do they vary, and how well does the gradient predict what is ahead?

use anyhow::Result;
use serde::Serialize;
use testkit::buffers::download;
use testkit::kernel::Dispatch;

use crate::digits::{BATCH, RATE, Task};
use crate::gpu::Gpu;
use crate::kernels::Step;
use crate::network::{Mode, Network, Normalization};
use crate::pass::Pass;
use crate::tensor::Tensor;
use crate::trainer::Run;

/// How far ahead, in learning rates.
const AHEAD: [f32; 8] = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0];
/// Steps between measurements.
pub const EVERY: u32 = 20;

/// One entry per measurement.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Landscape {
    pub steps: Vec<u32>,
    /// Loss at the present parameters, and its least and largest value along the step.
    pub loss: Vec<f32>,
    pub loss_min: Vec<f32>,
    pub loss_max: Vec<f32>,
    /// Norm of the gradient at the present parameters.
    pub gradient_norm: Vec<f32>,
    /// Least and largest distance of the gradients along the step from it.
    pub gradient_change_min: Vec<f32>,
    pub gradient_change_max: Vec<f32>,
    /// The largest of these distances over the distance moved: effective β-smoothness.
    pub smoothness: Vec<f32>,
}

/// Trains the net for so many steps and measures along the way.
pub fn measure(
    gpu: &Gpu,
    task: &Task,
    name: &str,
    normalization: Normalization,
    seed: u64,
    steps: u32,
) -> Result<Landscape> {
    let network = task.network(gpu, normalization, seed)?;
    let schedule = task.schedule(BATCH, steps, seed);
    let pass = network.prepare(BATCH, Mode::Train, steps)?;
    let gather = task.gather_train(gpu, &pass, &schedule);
    let measurements = steps.div_ceil(EVERY);
    let probe = Probe::new(gpu, &network, task, &schedule, measurements)?;
    let run = Run { name, pass: &pass, gather: Some(&gather), steps, rate: RATE, seed: seed as u32 };
    // The probe submits its own work, which so precedes the step's, and leaves the parameters as they were.
    run.train(gpu, |number, _| {
        if number.is_multiple_of(EVERY) {
            probe.record(gpu, number / EVERY, run.step(number));
        }
    })?;
    Ok(probe.read(gpu))
}

/// Slots per measurement: the present parameters and those ahead.
const SLOTS: u32 = 1 + AHEAD.len() as u32;

struct Probe {
    pass: Pass,
    gather: Dispatch,
    /// Parameters and gradients where the measurement started: (from, to) to save them.
    saved_parameters: Vec<(Tensor, Tensor)>,
    saved_gradients: Vec<(Tensor, Tensor)>,
    moves: Vec<Dispatch>,
    norms: Vec<Dispatch>,
    distances: Vec<Dispatch>,
    /// Squared norm of the gradient, then squared distances from it.
    sums: Tensor,
    measurements: u32,
}

impl Probe {
    fn new(gpu: &Gpu, network: &Network, task: &Task, schedule: &[u32], measurements: u32) -> Result<Self> {
        let kernels = &gpu.kernels;
        let pass = network.prepare(BATCH, Mode::Probe, measurements * SLOTS)?;
        let gather = task.gather_train(gpu, &pass, schedule);
        let sums = Tensor::zeros(&gpu.device, "sums", measurements * SLOTS);
        let (mut saved_parameters, mut saved_gradients) = (vec![], vec![]);
        let (mut moves, mut norms, mut distances) = (vec![], vec![], vec![]);
        for ((parameter, len), gradient) in network.parameters().into_iter().zip(&pass.gradients) {
            let zeros = |label: &str| Tensor::zeros(&gpu.device, label, len);
            let (origin, direction, zero) = (zeros("origin"), zeros("direction"), zeros("zero"));
            let (step, binding) = (pass.step(), parameter.clone());
            moves.push(kernels.move_along(step, len, origin.binding(), direction.binding(), binding));
            norms.push(kernels.distance_squared(step, gradient.binding(), zero.binding(), sums.binding()));
            let (left, right) = (gradient.binding(), direction.binding());
            distances.push(kernels.distance_squared(step, left, right, sums.binding()));
            let parameter = Tensor { buffer: parameter.buffer.clone(), offset: parameter.offset, len };
            saved_parameters.push((parameter, origin));
            saved_gradients.push((gradient.clone(), direction));
        }
        Ok(Self {
            pass,
            gather,
            saved_parameters,
            saved_gradients,
            moves,
            norms,
            distances,
            sums,
            measurements,
        })
    }

    /// Measures on the examples of `step`.
    fn record(&self, gpu: &Gpu, measurement: u32, step: Step) {
        let slot = measurement * SLOTS;
        self.pass.set(gpu, Step { slot, ..step });
        gpu.submit(|encoder| {
            let mut compute = encoder.begin_compute_pass(&Default::default());
            self.gather.record(&mut compute);
            self.pass.forward(&mut compute);
            self.pass.backward(&mut compute);
            self.norms.iter().for_each(|norm| norm.record(&mut compute));
            drop(compute);
            for (from, to) in self.saved_parameters.iter().chain(&self.saved_gradients) {
                from.copy_to(encoder, to);
            }
        });
        for (slot, ahead) in (slot + 1..).zip(AHEAD) {
            self.pass.set(gpu, Step { slot, rate: ahead * step.rate, ..step });
            gpu.submit(|encoder| {
                let mut compute = encoder.begin_compute_pass(&Default::default());
                self.moves.iter().for_each(|work| work.record(&mut compute));
                self.pass.forward(&mut compute);
                self.pass.backward(&mut compute);
                self.distances.iter().for_each(|distance| distance.record(&mut compute));
            });
        }
        gpu.submit(|encoder| {
            for (from, to) in &self.saved_parameters {
                to.copy_to(encoder, from);
            }
        });
    }

    fn read(&self, gpu: &Gpu) -> Landscape {
        let losses: Vec<f32> = download(&gpu.device, &gpu.queue, self.pass.losses.binding());
        let sums: Vec<f32> = download(&gpu.device, &gpu.queue, self.sums.binding());
        let mut landscape = Landscape::default();
        for measurement in 0..self.measurements {
            let slots = (measurement * SLOTS) as usize..((measurement + 1) * SLOTS) as usize;
            let (losses, sums) = (&losses[slots.clone()], &sums[slots]);
            let norm = sums[0].sqrt();
            let changes: Vec<f32> = sums[1..].iter().map(|sum| sum.sqrt()).collect();
            let smoothness = changes.iter().zip(AHEAD).map(|(change, ahead)| change / (ahead * RATE * norm));
            landscape.steps.push(measurement * EVERY);
            landscape.loss.push(losses[0]);
            landscape.loss_min.push(losses[1..].iter().copied().fold(f32::MAX, f32::min));
            landscape.loss_max.push(losses[1..].iter().copied().fold(f32::MIN, f32::max));
            landscape.gradient_norm.push(norm);
            landscape.gradient_change_min.push(changes.iter().copied().fold(f32::MAX, f32::min));
            landscape.gradient_change_max.push(changes.iter().copied().fold(f32::MIN, f32::max));
            landscape.smoothness.push(smoothness.fold(f32::MIN, f32::max));
        }
        landscape
    }
}
