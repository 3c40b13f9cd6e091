//! Trains a network on the regression.

use anyhow::Result;
use serde::Serialize;
use testkit::buffers::download;

use crate::data::Regression;
use crate::gpu::Gpu;
use crate::kernels::{Activation, Step};
use crate::network::{Loss, Mode, Network, Normalization};
use crate::trainer::Run;

#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// The loss in training mode before each update, and after the last one.
    pub train_loss: Vec<f32>,
    /// The loss in evaluation mode after the last update.
    pub eval_loss: f32,
    pub steps_per_second: f64,
}

/// Full-batch training for so many steps.
///
/// # Errors
/// [`Diverged`](crate::trainer::Diverged), where a loss is not finite.
pub fn train(
    gpu: &Gpu,
    name: &str,
    task: &Regression,
    normalization: Normalization,
    steps: u32,
    rate: f32,
) -> Result<Curve> {
    let network = Network::new(gpu, &task.layers, Activation::Relu, normalization, Loss::MeanSquared)?;
    let pass = network.prepare(task.rows, Mode::Train, steps + 1)?;
    let evaluation = network.prepare(task.rows, Mode::Evaluate, 1)?;
    for pass in [&pass, &evaluation] {
        pass.inputs.write(&gpu.queue, &task.x);
        pass.targets.write(&gpu.queue, &task.y);
    }
    let run = Run { name, pass: &pass, gather: None, steps, rate, seed: 0 };
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
