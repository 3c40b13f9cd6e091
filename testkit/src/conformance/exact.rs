//! A layer that computes in float64 and rounds at the end.

use super::case::{Buffers, Case, Input};
use super::results::{Evaluation, Gradients, Results, Step};
use super::statistics::{Running, Statistics, normalize};
use crate::layout::feature_sums;

fn round(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Gradients in float64; `constant` statistics do not depend on x.
pub fn gradients(case: &Case, input: &Input, mean: &[f64], var: &[f64], constant: bool) -> Gradients {
    let Some(dy) = &input.dy else { return Gradients::default() };
    let layout = case.layout(input.batch);
    let hat = |i: usize| {
        let c = layout.feature(i);
        (f64::from(input.x[i]) - mean[c]) / (var[c] + case.eps).sqrt()
    };
    let sums = |term: &dyn Fn(usize) -> f64| feature_sums(layout, dy.len(), term);
    let dbias = sums(&|i| dy[i].into());
    let dweight = sums(&|i| f64::from(dy[i]) * hat(i));
    let count = layout.count() as f64;
    let dx = |i: usize| {
        let c = layout.feature(i);
        let through = if constant { 0.0 } else { (dbias[c] + hat(i) * dweight[c]) / count };
        ((f64::from(dy[i]) - through) * case.weight(c) / (var[c] + case.eps).sqrt()) as f32
    };
    let affine = case.weight.is_some();
    Gradients {
        dx: Some((0..dy.len()).map(dx).collect()),
        dz: None,
        dweight: affine.then(|| round(&dweight)),
        dbias: affine.then(|| round(&dbias)),
    }
}

/// What it gives for a case.
pub fn exact(case: &Case) -> Results {
    let mut results = Results::default();
    let mut running = case.buffers.as_ref().map(Running::new);
    for (k, input) in case.steps.iter().enumerate() {
        let layout = case.layout(input.batch);
        let batch = Statistics::of(input, layout);
        let buffers = running.as_mut().zip(case.buffers.as_ref()).map(|(running, before)| {
            running.update(&batch, case);
            let batches = before.batches + k as u64 + 1;
            Buffers { mean: round(&running.mean), var: round(&running.var), batches }
        });
        results.steps.push(Step {
            y: round(&normalize(case, &input.x, layout, &batch.mean, &batch.var)),
            batch: Some((round(&batch.mean), round(&batch.var))),
            buffers,
            gradients: gradients(case, input, &batch.mean, &batch.var, false),
        });
    }
    results.evaluation = case.evaluation.as_ref().map(|input| {
        let layout = case.layout(input.batch);
        let own = Statistics::of(input, layout);
        let (mean, var) = running.as_ref().map_or((&own.mean, &own.var), |r| (&r.mean, &r.var));
        Evaluation {
            y: round(&normalize(case, &input.x, layout, mean, var)),
            gradients: gradients(case, input, mean, var, running.is_some()),
        }
    });
    results
}
