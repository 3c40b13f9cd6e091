use super::{Layer, Moments, Options};
use crate::layer::Statistics;

/// Saved statistics: what normalization, and later its backward, need to know of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saved {
    /// The mean that is subtracted.
    pub mean: f64,
    /// 1 / √(variance + eps).
    pub invstd: f64,
    /// γ at the time of the step.
    pub weight: f64,
    /// β at the time of the step, from which backward computes again what the activation took.
    pub bias: f64,
    /// How many values the statistics are of, over all parts of the batch. 0 where running statistics normalized, which
    /// are constants.
    pub count: f64,
}

impl Saved {
    fn new(layer: &Layer, feature: usize, mean: f64, variance: f64, count: f64) -> Self {
        Self {
            mean,
            invstd: 1.0 / (variance + f64::from(layer.descriptor.eps)).sqrt(),
            weight: layer.weight[feature],
            bias: layer.bias[feature],
            count,
        }
    }

    /// What a layer's running statistics normalize a feature with.
    pub(super) fn of_running(layer: &Layer, feature: usize) -> Self {
        Self::new(layer, feature, layer.running_mean[feature], layer.running_var[feature], 0.0)
    }

    /// What a batch's moments normalize a feature with.
    pub(super) fn of_moments(layer: &Layer, feature: usize, moments: &Moments) -> Self {
        Self::new(layer, feature, moments.mean, moments.variance, moments.count)
    }

    /// x̂.
    pub(super) fn xhat(&self, x: f32) -> f64 {
        (f64::from(x) - self.mean) * self.invstd
    }

    /// What the activation takes.
    pub(super) fn pre_activation(&self, x: f32, residual: f64) -> f64 {
        self.xhat(x) * self.weight + self.bias + residual
    }
}

/// What [`finalize`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Finalized {
    /// What to normalize each feature with.
    pub saved: Vec<Saved>,
    /// The features whose running statistics the guard kept from moving.
    pub skipped: Vec<usize>,
}

/// What each feature saves, given the moments of the whole batch; moves the running statistics, once. Twin of
/// shaders/forward/finalize.wgsl.
pub fn finalize(moments: &[Moments], layer: &mut Layer, options: &Options<'_>) -> Finalized {
    let of_feature = |(c, moments): (usize, &Moments)| match options.statistics {
        Statistics::Batch => Saved::of_moments(layer, c, moments),
        Statistics::Running => Saved::of_running(layer, c),
    };
    let saved = moments.iter().enumerate().map(of_feature).collect();
    let moves = layer.descriptor.track_running_stats && options.update_running && options.commit;
    let skipped = if moves { move_running(moments, layer, options.skip_non_finite) } else { Vec::new() };
    Finalized { saved, skipped }
}

/// Counts the batch and moves the running statistics, except of features without values and of those that the guard
/// skips, which it returns.
fn move_running(moments: &[Moments], layer: &mut Layer, skip_non_finite: bool) -> Vec<usize> {
    layer.num_batches_tracked += 1;
    let convention = layer.descriptor.convention;
    let share = layer
        .descriptor
        .momentum
        .map_or(1.0 / layer.num_batches_tracked as f64, |m| f64::from(convention.batch_share(m)));
    let mut skipped = Vec::new();
    for (c, &Moments { count, mean, variance }) in moments.iter().enumerate() {
        // A device's statistics are float32.
        let finite = (mean as f32).is_finite() && (variance as f32).is_finite();
        if skip_non_finite && !finite {
            skipped.push(c);
        } else if count > 0.0 {
            let corrects = convention.unbiased_running_variance() && count > 1.0;
            let estimate = if corrects { variance * (count / (count - 1.0)) } else { variance };
            layer.running_mean[c] = (1.0 - share) * layer.running_mean[c] + share * mean;
            layer.running_var[c] = (1.0 - share) * layer.running_var[c] + share * estimate;
        }
    }
    skipped
}
