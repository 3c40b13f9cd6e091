//! Per-feature statistics in float64: what error scales, and the truth of ONNX files, are made from.

use super::case::{Buffers, Case, Format, Input};
use crate::layout::Layout;
use crate::scales;

/// Statistics of one input's valid values, per feature.
pub struct Statistics {
    pub count: usize,
    pub mean: Vec<f64>,
    /// Biased: divided by the count.
    pub var: Vec<f64>,
    /// Largest magnitude.
    pub largest: Vec<f64>,
    /// Whether all values are the same finite number.
    pub constant: Vec<bool>,
}

impl Statistics {
    pub fn of(input: &Input, layout: Layout) -> Statistics {
        let is_valid = |i: usize| scales::is_valid(layout, input.valid.as_deref(), i);
        let values = || input.x.iter().enumerate().filter(|(i, _)| is_valid(*i));
        let total = values().count() / layout.features;
        let count = total as f64;
        let mut mean = vec![0.0; layout.features];
        let mut largest = vec![0.0f64; layout.features];
        let mut first = vec![None; layout.features];
        let mut constant = vec![true; layout.features];
        for (i, &value) in values() {
            let c = layout.feature(i);
            mean[c] += f64::from(value) / count;
            largest[c] = largest[c].max(f64::from(value.abs()));
            constant[c] &= value.is_finite() && *first[c].get_or_insert(value) == value;
        }
        let mut var = vec![0.0; layout.features];
        for (i, &value) in values() {
            let c = layout.feature(i);
            var[c] += (f64::from(value) - mean[c]).powi(2) / count;
        }
        Statistics { count: total, mean, var, largest, constant }
    }
}

impl Statistics {
    /// What makes the biased variance unbiased. The variance of one value is 0 either way.
    pub fn bessel(&self) -> f64 {
        if self.count > 1 { self.count as f64 / (self.count as f64 - 1.0) } else { 1.0 }
    }
}

/// The running statistics, followed in float64.
#[derive(Clone)]
pub struct Running {
    pub mean: Vec<f64>,
    pub var: Vec<f64>,
    batches: u64,
}

impl Running {
    pub fn new(buffers: &Buffers) -> Running {
        let widen = |values: &[f32]| values.iter().copied().map(f64::from).collect();
        Running { mean: widen(&buffers.mean), var: widen(&buffers.var), batches: buffers.batches }
    }

    /// Takes in one batch, by the case's convention. One without values is counted alone.
    pub fn update(&mut self, batch: &Statistics, case: &Case) {
        self.batches += 1;
        if batch.count == 0 {
            return;
        }
        let bessel = batch.bessel();
        let (share, correction) = match (case.format, case.momentum) {
            (Format::PyTorch, Some(momentum)) => (momentum, bessel),
            (Format::PyTorch, None) => (1.0 / self.batches as f64, bessel),
            (Format::Onnx, momentum) => (1.0 - momentum.unwrap_or(0.9), 1.0),
        };
        for c in 0..self.mean.len() {
            self.mean[c] = (1.0 - share) * self.mean[c] + share * batch.mean[c];
            self.var[c] = (1.0 - share) * self.var[c] + share * correction * batch.var[c];
        }
    }
}

/// (x − mean) / √(var + eps) · weight + bias, in float64.
pub fn normalize(case: &Case, x: &[f32], layout: Layout, mean: &[f64], var: &[f64]) -> Vec<f64> {
    let element = |(i, &value): (usize, &f32)| {
        let c = layout.feature(i);
        (f64::from(value) - mean[c]) / (var[c] + case.eps).sqrt() * case.weight(c) + case.bias(c)
    };
    x.iter().enumerate().map(element).collect()
}
