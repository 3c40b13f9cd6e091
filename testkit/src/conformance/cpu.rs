//! Runs a case through the crate's CPU reference.

use wgpu_batchnorm::{Shape, Statistics, cpu};

use super::case::{Buffers, Case, Input, Result};
use super::layer::{descriptor, shape, state};
use super::results::{Evaluation, Gradients, Results, Step};

/// Runs all steps of `case` in order, then its evaluation.
pub fn run(case: &Case) -> Result<Results> {
    let mut layer = cpu::Layer::with_state(&descriptor(case)?, &state(case));
    let tracks = case.buffers.is_some();
    let mut results = Results::default();
    for input in &case.steps {
        let shape = shape(case, input.batch)?;
        let (y, record) = cpu::resident(&input.x, shape, &mut layer, Statistics::Batch, tracks);
        let (mean, var) =
            cpu::stats(&input.x, shape).iter().map(|m| (m.mean as f32, (m.square / m.count) as f32)).unzip();
        results.steps.push(Step {
            y: float32(&y),
            batch: Some((mean, var)),
            buffers: tracks.then(|| Buffers {
                mean: float32(&layer.running_mean),
                var: float32(&layer.running_var),
                batches: layer.num_batches_tracked,
            }),
            gradients: gradients(case, input, shape, &record, Statistics::Batch),
        });
    }
    if let Some(input) = &case.evaluation {
        let shape = shape(case, input.batch)?;
        let (y, record, statistics) = if tracks {
            let (y, record) = cpu::evaluate(&input.x, shape, &layer);
            (y, record, Statistics::Running)
        } else {
            let (y, record) = cpu::resident(&input.x, shape, &mut layer, Statistics::Batch, false);
            (y, record, Statistics::Batch)
        };
        let gradients = gradients(case, input, shape, &record, statistics);
        results.evaluation = Some(Evaluation { y: float32(&y), gradients });
    }
    Ok(results)
}

fn gradients(
    case: &Case,
    input: &Input,
    shape: Shape,
    record: &[cpu::Record],
    statistics: Statistics,
) -> Gradients {
    let Some(dy) = &input.dy else { return Gradients::default() };
    let (dx, sums) = cpu::backward_resident(&input.x, dy, shape, record, statistics);
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
