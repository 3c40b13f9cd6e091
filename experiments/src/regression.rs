//! Experiment 1, deep regression: six hidden layers of 128 rectifiers learn y = sin(X·w) + noise.

use anyhow::Result;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};
use serde::Serialize;
use testkit::gpu::download;

use crate::data::Regression;
use crate::gpu::Gpu;
use crate::kernels::{Activation, Step};
use crate::network::{Linear, Loss, Mode, Network, Normalization};
use crate::trainer::Run;

pub const STEPS: u32 = 300;
pub const RATE: f32 = 0.05;

#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// The loss in training mode before each update, and after the last one.
    pub train_loss: Vec<f32>,
    /// The loss in evaluation mode after the last update.
    pub eval_loss: f32,
    pub steps_per_second: f64,
}

/// The same task with data and initial weights of our own, distributed as torch draws them.
pub fn own_task(seed: u64) -> Regression {
    let (rows, width) = (512u32, 20u32);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = |len: u32| -> Vec<f32> { (0..len).map(|_| StandardNormal.sample(&mut rng)).collect() };
    let (x, w, noise) = (normal(rows * width), normal(width), normal(rows));
    let product = |row: &[f32]| row.iter().zip(&w).map(|(x, w)| x * w).sum::<f32>();
    let y =
        x.chunks(width as usize).zip(&noise).map(|(row, noise)| product(row).sin() + 0.1 * noise).collect();
    let mut layer = |inputs: u32, outputs: u32| {
        let bound = 1.0 / (inputs as f32).sqrt();
        let mut uniform = |len: u32| (0..len).map(|_| rng.random_range(-bound..bound)).collect();
        let (weight, bias) = (uniform(inputs * outputs), uniform(outputs));
        Linear { inputs, outputs, weight, bias }
    };
    let widths = [width, 128, 128, 128, 128, 128, 128, 1];
    let layers = widths.windows(2).map(|w| layer(w[0], w[1])).collect();
    Regression { rows, x, y, layers }
}

/// Full-batch training for so many steps.
pub fn train(
    gpu: &Gpu,
    name: &str,
    task: &Regression,
    normalization: Normalization,
    steps: u32,
) -> Result<Curve> {
    let network = Network::new(gpu, &task.layers, Activation::Relu, normalization, Loss::MeanSquared)?;
    let pass = network.prepare(task.rows, Mode::Train, steps + 1)?;
    let evaluation = network.prepare(task.rows, Mode::Evaluate, 1)?;
    for pass in [&pass, &evaluation] {
        pass.inputs.write(&gpu.queue, &task.x);
        pass.targets.write(&gpu.queue, &task.y);
    }
    let run = Run { name, pass: &pass, gather: None, steps, rate: RATE, seed: 0 };
    let outcome = run.train(gpu, |_, _| {})?;

    // Evaluation first: a further forward pass in training mode moves the running statistics.
    evaluation.set(gpu, Step::default());
    pass.set(gpu, run.step(steps));
    gpu.submit(|encoder| {
        let mut compute = encoder.begin_compute_pass(&Default::default());
        evaluation.forward(&mut compute);
        pass.forward(&mut compute);
    });
    let train_loss = download(&gpu.device, &gpu.queue, pass.losses.binding());
    let eval_loss = download(&gpu.device, &gpu.queue, evaluation.losses.binding())[0];
    Ok(Curve { train_loss, eval_loss, steps_per_second: f64::from(steps) / outcome.time.as_secs_f64() })
}
