use super::{Layer, Moments, indices};
use crate::layer::Statistics;
use crate::tensor::Shape;

/// Saved statistics: what normalization, and later its backward, need to know of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saved {
    /// The mean that is subtracted.
    pub mean: f64,
    /// 1 / √(variance + eps).
    pub invstd: f64,
    /// γ at the time of the step.
    pub weight: f64,
}

/// Training forward: y, and what backward needs. Moves the running statistics and counts the batch if asked to. Twin of
/// shaders/forward/cached.wgsl and persistent.wgsl, which differ in how often they read.
pub fn train(
    x: &[f32],
    shape: Shape,
    layer: &mut Layer,
    statistics: Statistics,
    update_running: bool,
) -> (Vec<f64>, Vec<Saved>) {
    let saved = finalize(&split_moments(x, shape), layer, statistics, update_running);
    (normalize_tensor(x, shape, &saved, &layer.bias), saved)
}

/// Evaluation: y with the running statistics, and what backward needs. Twin of shaders/forward/evaluate.wgsl.
pub fn evaluate(x: &[f32], shape: Shape, layer: &Layer) -> (Vec<f64>, Vec<Saved>) {
    let saved: Vec<Saved> = (0..shape.features() as usize)
        .map(|c| Saved {
            mean: layer.running_mean[c],
            invstd: inverse_std(layer.running_var[c], layer),
            weight: layer.weight[c],
        })
        .collect();
    (normalize_tensor(x, shape, &saved, &layer.bias), saved)
}

/// The moments of each feature, in two passes. Twin of shaders/forward/split_moments.wgsl.
fn split_moments(x: &[f32], shape: Shape) -> Vec<Moments> {
    (0..shape.features() as usize)
        .map(|feature| {
            let values = || indices(shape, feature).map(|i| f64::from(x[i]));
            let count = shape.count() as f64;
            let mean = values().sum::<f64>() / count;
            Moments { count, mean, variance: values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count }
        })
        .collect()
}

fn inverse_std(variance: f64, layer: &Layer) -> f64 {
    1.0 / (variance + f64::from(layer.descriptor.eps)).sqrt()
}

/// What each feature saves; moves its running statistics. Twin of shaders/forward/finalize.wgsl.
fn finalize(
    moments: &[Moments],
    layer: &mut Layer,
    statistics: Statistics,
    update_running: bool,
) -> Vec<Saved> {
    if update_running {
        layer.num_batches_tracked += 1;
    }
    let convention = layer.descriptor.convention;
    let share = layer
        .descriptor
        .momentum
        .map_or(1.0 / layer.num_batches_tracked as f64, |m| f64::from(convention.batch_share(m)));
    (0..moments.len())
        .map(|c| {
            let Moments { count, mean, variance } = moments[c];
            let (old_mean, old_var) = (layer.running_mean[c], layer.running_var[c]);
            if update_running && count > 0.0 {
                let unbiased = convention.unbiased_running_variance();
                let estimate = if unbiased { variance * (count / (count - 1.0)) } else { variance };
                layer.running_mean[c] = (1.0 - share) * old_mean + share * mean;
                layer.running_var[c] = (1.0 - share) * old_var + share * estimate;
            }
            let (mean, variance) = match statistics {
                Statistics::Batch => (mean, variance),
                Statistics::Running => (old_mean, old_var),
            };
            Saved { mean, invstd: inverse_std(variance, layer), weight: layer.weight[c] }
        })
        .collect()
}

/// y. Twin of shaders/forward/normalize.wgsl.
fn normalize_tensor(x: &[f32], shape: Shape, saved: &[Saved], bias: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for (c, s) in saved.iter().enumerate() {
        for i in indices(shape, c) {
            y[i] = (f64::from(x[i]) - s.mean) * s.invstd * s.weight + bias[c];
        }
    }
    y
}
