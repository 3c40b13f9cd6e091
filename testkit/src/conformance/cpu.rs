//! Runs a case through the crate's CPU reference.

use wgpu_batchnorm::{Shape, cpu};

use super::case::{Buffers, Case, Input, Result};
use super::layer::{descriptor, of_batch, shape, state};
use super::results::{Evaluation, Gradients, Results, Step};

/// Runs all steps of `case` in order, then its evaluation.
pub fn run(case: &Case) -> Result<Results> {
    let mut layer = cpu::Layer::with_state(&descriptor(case)?, &state(case));
    let tracks = case.buffers.is_some();
    let mut results = Results::default();
    for input in &case.steps {
        let shape = shape(case, input.batch)?;
        let cpu::Forward { y, saved, .. } = cpu::train(&input.x, shape, &mut layer, &cpu::Options::default());
        let mut batch = cpu::Layer::new(&of_batch(case)?);
        cpu::train(&input.x, shape, &mut batch, &cpu::Options::default());
        results.steps.push(Step {
            y: float32(&y),
            batch: Some((float32(&batch.running_mean), float32(&batch.running_var))),
            buffers: tracks.then(|| Buffers {
                mean: float32(&layer.running_mean),
                var: float32(&layer.running_var),
                batches: layer.num_batches_tracked,
            }),
            gradients: gradients(case, input, shape, &saved),
        });
    }
    if let Some(input) = &case.evaluation {
        let shape = shape(case, input.batch)?;
        let cpu::Forward { y, saved, .. } = cpu::evaluate(&input.x, shape, &layer, &cpu::Options::default());
        let gradients = gradients(case, input, shape, &saved);
        results.evaluation = Some(Evaluation { y: float32(&y), gradients });
    }
    Ok(results)
}

fn gradients(case: &Case, input: &Input, shape: Shape, saved: &[cpu::Saved]) -> Gradients {
    let Some(dy) = &input.dy else { return Gradients::default() };
    let cpu::Gradients { dx, sums, .. } = cpu::backward(&input.x, dy, shape, saved, &cpu::Options::default());
    let (dbias, dweight): (Vec<f64>, Vec<f64>) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
    Gradients {
        dx: Some(float32(&dx)),
        dweight: case.weight.is_some().then(|| float32(&dweight)),
        dbias: case.bias.is_some().then(|| float32(&dbias)),
    }
}

fn float32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}
