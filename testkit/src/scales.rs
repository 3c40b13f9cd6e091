//! The one rule for what an error is divided by before it is held to a tolerance: the size of what was added up to
//! get there. tests/data/README.md states the rule and gives the reason for each line.

use wgpu_batchnorm::{Shape, cpu};

use crate::layout::{Layout, feature_sums};

/// The tolerance of y and of means and variances.
pub const FORWARD: f64 = 5e-7;
/// The tolerance of dx, dweight and dbias.
pub const BACKWARD: f64 = 1e-6;
/// The smallest normal float32. Devices may flush what is smaller, so a difference of that size counts as none.
pub const SMALLEST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
/// Half the spacing of the float32 numbers just above 1.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// The scale of a mean, the batch's or the running one.
pub fn mean(mean: f64, var: f64) -> f64 {
    mean.abs().max(var.sqrt()).max(SMALLEST_NORMAL / FORWARD)
}

/// The scale of a variance of values of which the largest magnitude is this, or 0 where that does not matter.
pub fn variance(var: f64, largest: f64) -> f64 {
    var.max((ROUNDING * largest).powi(2)).max(SMALLEST_NORMAL / FORWARD)
}

/// The scale of y where x is constant and y is held against the bias.
pub fn constant_output(weight: f64, bias: f64) -> f64 {
    (bias.abs() + weight.abs()).max(SMALLEST_NORMAL)
}

/// What a feature is normalized with.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub mean: f64,
    pub invstd: f64,
    pub weight: f64,
}

impl Feature {
    /// |∂y/∂x| at fixed statistics.
    pub fn slope(&self) -> f64 {
        self.weight.abs() * self.invstd
    }
}

/// An input of the layer and what it is normalized with, in float64.
pub struct Pass<'a> {
    x: &'a [f32],
    layout: Layout,
    features: Vec<Feature>,
    valid: Option<&'a [bool]>,
    /// Largest magnitude of each feature's valid values.
    largest: Vec<f64>,
    rounded_means: bool,
}

/// The scales of a backward's results, per feature.
pub struct Gradients {
    pub dx: Vec<f64>,
    pub dweight: Vec<f64>,
    pub dbias: Vec<f64>,
}

impl<'a> Pass<'a> {
    pub fn new(x: &'a [f32], layout: Layout, features: Vec<Feature>) -> Self {
        let largest = largest(x, layout, None);
        Self { x, layout, features, valid: None, largest, rounded_means: false }
    }

    /// Only these examples and positions have a part in results: [`Layout::position`] numbers them.
    pub fn with_valid(self, valid: Option<&'a [bool]>) -> Self {
        Self { valid, largest: largest(self.x, self.layout, valid), ..self }
    }

    /// The same of what the CPU reference saved.
    pub fn of(x: &'a [f32], shape: Shape, saved: &[cpu::Saved]) -> Self {
        let feature = |s: &cpu::Saved| Feature { mean: s.mean, invstd: s.invstd, weight: s.weight };
        Self::new(x, Layout::of(shape), saved.iter().map(feature).collect())
    }

    /// The truth followed the means in float64, where the layer rounded them into a buffer.
    pub fn with_rounded_means(self) -> Self {
        Self { rounded_means: true, ..self }
    }

    pub fn feature(&self, c: usize) -> &Feature {
        &self.features[c]
    }

    /// The scale of y, of which `y` are the values at the indices `at`, per feature.
    pub fn output(&self, y: &[f64], at: impl Fn(usize) -> usize) -> Vec<f64> {
        let mut largest = 0.0f64;
        for (k, y) in y.iter().enumerate() {
            let c = self.layout.feature(at(k));
            let before_bias = self.deviation(at(k)) * self.features[c].slope();
            let finite = [y.abs(), before_bias.abs()].into_iter().filter(|v| v.is_finite());
            largest = finite.fold(largest, f64::max);
        }
        let floor = |c: usize| self.features[c].slope() * self.resolution(c, FORWARD);
        (0..self.layout.features).map(|c| largest.max(floor(c))).collect()
    }

    /// The scales of the gradients of a pass with this gradient of what the activation takes: dy where there is none.
    /// It is 0 where no value is valid.
    pub fn gradients(&self, dy: &[f64]) -> Gradients {
        let (layout, len) = (self.layout, dy.len());
        let dy = |i: usize| dy[i];
        let invstd = |i: usize| self.features[layout.feature(i)].invstd;
        let xhat = |i: usize| self.deviation(i).abs() * invstd(i);
        let (mut largest_dy, mut largest_xhat) = (vec![0.0f64; layout.features], vec![0.0; layout.features]);
        for i in 0..len {
            let c = layout.feature(i);
            largest_dy[c] = largest_dy[c].max(dy(i).abs());
            largest_xhat[c] = xhat(i).max(largest_xhat[c]);
        }
        let dbias = feature_sums(layout, len, |i| dy(i).abs());
        let signed = feature_sums(layout, len, dy);
        let mut dweight = feature_sums(layout, len, |i| dy(i).abs() * xhat(i));
        for (c, dweight) in dweight.iter_mut().enumerate() {
            let shifted = signed[c].abs() * largest_xhat[c];
            let floor = dbias[c] * self.features[c].invstd * self.resolution(c, BACKWARD);
            *dweight = dweight.max(shifted).max(floor);
        }
        let dx = |c: usize| (self.features[c].slope() * largest_dy[c]).max(SMALLEST_NORMAL / BACKWARD);
        Gradients { dx: (0..layout.features).map(dx).collect(), dweight, dbias }
    }

    fn deviation(&self, i: usize) -> f64 {
        if !is_valid(self.layout, self.valid, i) {
            return 0.0;
        }
        f64::from(self.x[i]) - self.features[self.layout.feature(i)].mean
    }

    /// The smallest difference between a feature's values that a float32 result can be held to, as a divisor for
    /// errors held to `tolerance`: the spacing of the values; or, divided by the tolerance and so allowed in full,
    /// what flushing denormals and rounding the mean take away.
    fn resolution(&self, c: usize, tolerance: f64) -> f64 {
        let rounded = if self.rounded_means { 2.0 * ROUNDING * self.features[c].mean.abs() } else { 0.0 };
        (ROUNDING * self.largest[c]).max((SMALLEST_NORMAL + rounded) / tolerance)
    }
}

/// Whether the value at flat index `i` takes part.
pub fn is_valid(layout: Layout, valid: Option<&[bool]>, i: usize) -> bool {
    valid.is_none_or(|valid| valid[layout.position(i)])
}

fn largest(x: &[f32], layout: Layout, valid: Option<&[bool]>) -> Vec<f64> {
    let mut largest = vec![0.0f64; layout.features];
    for (i, &x) in x.iter().enumerate().filter(|(i, _)| is_valid(layout, valid, *i)) {
        let c = layout.feature(i);
        largest[c] = largest[c].max(x.abs().into());
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Feature = Feature { mean: 0.0, invstd: 1.0, weight: 1.0 };

    fn pass(x: &[f32]) -> Pass<'_> {
        Pass::new(x, Layout { outer: x.len(), features: 1, inner: 1 }, vec![STANDARD])
    }

    #[test]
    fn a_y_that_cancels_against_the_bias_has_the_size_of_its_terms() {
        // The bias is −8: all of y is near 0.
        let pass = pass(&[8.0, 8.0]);
        assert_eq!(pass.output(&[0.0, 1e-7], |i| i), [8.0]);
        // Elsewhere y is its own scale.
        assert_eq!(pass.output(&[16.0, 16.0], |i| i), [16.0]);
    }

    #[test]
    fn a_one_hot_dy_is_judged_by_the_largest_deviation() {
        let pass = pass(&[0.0, 3.0, -3.0, 1.0]);
        assert_eq!(pass.gradients(&[2.0, 0.0, 0.0, 0.0]).dweight, [6.0]);
        // Where dy has both signs the terms of the sum are larger.
        assert_eq!(pass.gradients(&[0.0, 1.0, -1.0, 0.0]).dweight, [6.0]);
        assert_eq!(pass.gradients(&[1.0, 0.0, 0.0, -1.0]).dweight, [1.0]);
    }

    #[test]
    fn dx_and_dbias_are_scaled_by_feature() {
        let layout = Layout { outer: 2, features: 2, inner: 1 };
        let features = vec![STANDARD, Feature { weight: -10.0, ..STANDARD }];
        let scales = Pass::new(&[0.0; 4], layout, features).gradients(&[1.0, 2.0, -3.0, 0.5]);
        assert_eq!((scales.dx, scales.dbias), (vec![3.0, 20.0], vec![4.0, 2.5]));
    }
}
