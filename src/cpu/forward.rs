use super::{Layer, indices};
use crate::forward::Statistics;
use crate::shape::Shape;

/// Moments of some values: what can be merged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// How many values.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// The sum of their squared deviations from the mean.
    pub square: f64,
}

/// What normalization, and later its gradient, need to know of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// The mean that is subtracted.
    pub mean: f64,
    /// 1 / √(variance + eps).
    pub invstd: f64,
    /// γ at the time of the step.
    pub weight: f64,
}

/// Twin of `combine` in shaders/moments.wgsl: the moments of the union (Chan, Golub & LeVeque 1979).
pub fn merge(a: Moments, b: Moments) -> Moments {
    if a.count == 0.0 || b.count == 0.0 {
        return if a.count == 0.0 { b } else { a };
    }
    let count = a.count + b.count;
    let difference = b.mean - a.mean;
    Moments {
        count,
        mean: a.mean + difference * (b.count / count),
        square: a.square + b.square + difference * difference * (a.count * b.count / count),
    }
}

/// Twin of shaders/stats.wgsl: the moments of each feature, in two passes.
pub fn stats(x: &[f32], shape: Shape) -> Vec<Moments> {
    (0..shape.features() as usize)
        .map(|feature| {
            let values = || indices(shape, feature).map(|i| f64::from(x[i]));
            let count = shape.count() as f64;
            let mean = values().sum::<f64>() / count;
            Moments { count, mean, square: values().map(|v| (v - mean) * (v - mean)).sum() }
        })
        .collect()
}

fn invstd(variance: f64, layer: &Layer) -> f64 {
    1.0 / (variance + f64::from(layer.descriptor.eps)).sqrt()
}

/// Twin of shaders/finalize.wgsl: the record of each feature; moves the running statistics and counts the batch if
/// asked to.
pub fn finalize(
    moments: &[Moments],
    layer: &mut Layer,
    statistics: Statistics,
    update_running: bool,
) -> Vec<Record> {
    if update_running {
        layer.num_batches_tracked += 1;
    }
    let convention = layer.descriptor.convention;
    let share = layer
        .descriptor
        .momentum
        .map_or(1.0 / f64::from(layer.num_batches_tracked), |m| f64::from(convention.batch_share(m)));
    (0..moments.len())
        .map(|c| {
            let Moments { count, mean, square } = moments[c];
            let variance = square / count;
            let (old_mean, old_var) = (layer.running_mean[c], layer.running_var[c]);
            if update_running && count > 0.0 {
                let unbiased = convention.unbiased_running_variance();
                let estimate = if unbiased { square / (count - 1.0) } else { variance };
                layer.running_mean[c] = (1.0 - share) * old_mean + share * mean;
                layer.running_var[c] = (1.0 - share) * old_var + share * estimate;
            }
            let (mean, variance) = match statistics {
                Statistics::Batch => (mean, variance),
                Statistics::Running => (old_mean, old_var),
            };
            Record { mean, invstd: invstd(variance, layer), weight: layer.weight[c] }
        })
        .collect()
}

/// Twin of shaders/normalize.wgsl: y.
pub fn normalize(x: &[f32], shape: Shape, record: &[Record], bias: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for (c, r) in record.iter().enumerate() {
        for i in indices(shape, c) {
            y[i] = (f64::from(x[i]) - r.mean) * r.invstd * r.weight + bias[c];
        }
    }
    y
}

/// Twin of shaders/resident.wgsl and of shaders/held.wgsl, which differ in how often they read: training forward, y and
/// the records.
pub fn resident(
    x: &[f32],
    shape: Shape,
    layer: &mut Layer,
    statistics: Statistics,
    update_running: bool,
) -> (Vec<f64>, Vec<Record>) {
    let record = finalize(&stats(x, shape), layer, statistics, update_running);
    (normalize(x, shape, &record, &layer.bias), record)
}

/// Twin of shaders/evaluate.wgsl: y with the running statistics, and the records.
pub fn evaluate(x: &[f32], shape: Shape, layer: &Layer) -> (Vec<f64>, Vec<Record>) {
    let record: Vec<Record> = (0..shape.features() as usize)
        .map(|c| Record {
            mean: layer.running_mean[c],
            invstd: invstd(layer.running_var[c], layer),
            weight: layer.weight[c],
        })
        .collect();
    (normalize(x, shape, &record, &layer.bias), record)
}
