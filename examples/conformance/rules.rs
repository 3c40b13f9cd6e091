//! What each tensor of a case is judged by: the size of what was added up to get there, and a tolerance.
//!
//! | tensor | its error is divided by | tolerance |
//! | --- | --- | --- |
//! | y, y_eval | the tensor's max\|y\| | 5e-7 |
//! | running_mean, batch_mean | per feature, max(\|mean\|, standard deviation) | 5e-7 |
//! | running_var, batch_var | per feature, the variance | 5e-7 |
//! | dx | per feature, max\|weight·invstd·dy\| | 1e-6 |
//! | dweight | per feature, Σ\|dy·x̂\| | 1e-6 |
//! | dbias | per feature, Σ\|dy\| | 1e-6 |
//! | y of constant features, against bias | per feature, \|bias\| + \|weight\| | 1e-6 |
//! | num_batches_tracked | (exact) | 0 |
//! | `t_sum`, `t_dot` of a sampled tensor t | √(m·Σt²), √(Σr²·Σt²): bounds on Σ\|t\|, Σ\|t·r\| | as t |
//! | `t_sq` of a sampled tensor t | 2·Σt² | as t |
//! | float32 results that another implementation stored | the tensor's maximum | 5e-6 |
//!
//! Nothing is divided by less than float32 can tell apart (see [`Resolution`]), which matters only to features
//! that are constant, nearly so, or denormal.

use super::case::{Case, Format, Input, Tensor, View};
use super::results::feature_sums;
use super::statistics::{Running, Statistics};

const FORWARD: f64 = 5e-7;
const BACKWARD: f64 = 1e-6;
const STORED: f64 = 5e-6;

/// The smallest normal float32. Devices may flush what is smaller, so a difference of that size counts as none.
pub const SMALLEST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
const LARGEST: f64 = f32::MAX as f64;
/// Half the spacing of the float32 numbers just above 1.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// How one published tensor is judged.
pub struct Rule<'a> {
    pub tensor: String,
    pub against: Against,
    pub at: At<'a>,
    pub tolerance: f64,
    /// Per feature, what an error is divided by.
    pub scale: Vec<f64>,
    /// Features whose variance is beyond float32: no result is required of them.
    pub beyond: Vec<bool>,
}

/// What a result is held against.
pub enum Against {
    Truth,
    /// Another implementation's float32 result.
    Stored,
    /// The bias, for the features marked.
    Bias(Vec<bool>),
}

/// The features that a tensor's values belong to.
#[derive(Clone, Copy)]
pub enum At<'a> {
    /// One value, or one for each feature.
    Feature,
    Element(View),
    Sample(View, &'a [usize]),
}

impl At<'_> {
    pub fn feature(&self, i: usize) -> usize {
        match self {
            At::Feature => i,
            At::Element(view) => view.feature(i),
            At::Sample(view, index) => view.feature(index[i]),
        }
    }
}

/// The rules for all tensors of a case, in the order in which the layer makes them.
pub fn rules(case: &Case) -> Vec<Rule<'_>> {
    let mut rules = Rules { case, list: Vec::new() };
    let mut running = case.buffers.as_ref().map(Running::new);
    let mut lost = vec![false; case.features];
    for (k, input) in case.steps.iter().enumerate() {
        let (suffix, view) = (case.suffix(k), case.view(input.batch));
        let batch = Statistics::of(&input.x, view);
        rules.training(&suffix, input, &batch);
        if let Some(running) = &mut running {
            running.update(&batch, view.count(), case);
            let bessel = view.count() as f64 / (view.count() as f64 - 1.0);
            for (lost, var) in lost.iter_mut().zip(&batch.var) {
                *lost |= var * bessel > LARGEST;
            }
            rules.buffers(&suffix, &batch, running, &lost);
        }
    }
    if let Some(input) = &case.evaluation {
        rules.evaluation(input, running, &lost);
    }
    rules.stored();
    rules.list
}

/// The statistics that a pass normalizes with.
struct Normalization<'a> {
    mean: &'a [f64],
    var: &'a [f64],
    resolution: Resolution<'a>,
    /// Features whose variance float32 cannot hold.
    beyond: Vec<bool>,
}

/// The smallest differences between a feature's values that a float32 result can be held to.
struct Resolution<'a> {
    /// Largest magnitude of the feature's values.
    largest: &'a [f64],
    /// The mean to subtract, where a float32 buffer holds it.
    buffer: Option<&'a [f64]>,
}

impl Resolution<'_> {
    /// As a divisor for errors held to `tolerance`: the spacing of the values; or, divided by the tolerance and so
    /// allowed in full, what flushing denormals and rounding the buffer take away.
    fn at(&self, c: usize, tolerance: f64) -> f64 {
        let lost = SMALLEST_NORMAL + self.buffer.map_or(0.0, |mean| 2.0 * ROUNDING * mean[c].abs());
        (ROUNDING * self.largest[c]).max(lost / tolerance)
    }
}

struct Rules<'a> {
    case: &'a Case,
    list: Vec<Rule<'a>>,
}

impl<'a> Rules<'a> {
    fn push(&mut self, tensor: String, at: At<'a>, tolerance: f64, scale: Vec<f64>, beyond: &[bool]) {
        let beyond = beyond.to_vec();
        self.list.push(Rule { tensor, against: Against::Truth, at, tolerance, scale, beyond });
    }

    fn training(&mut self, suffix: &str, input: &'a Input, batch: &Statistics) {
        let resolution = Resolution { largest: &batch.largest, buffer: None };
        let beyond = beyond(&batch.var);
        let with = Normalization { mean: &batch.mean, var: &batch.var, resolution, beyond };
        if self.case.format == Format::PyTorch {
            self.moments("batch", suffix, &with);
        }
        self.output("y", suffix, input, &with);
        if batch.constant.contains(&true) {
            self.constant_features(suffix, input, batch);
        }
        self.gradients("", suffix, input, &with);
    }

    /// `lost` marks features whose variance was beyond float32 in this or an earlier step.
    fn buffers(&mut self, suffix: &str, batch: &Statistics, running: &Running, lost: &[bool]) {
        let resolution = Resolution { largest: &batch.largest, buffer: None };
        let with =
            Normalization { mean: &running.mean, var: &running.var, resolution, beyond: lost.to_vec() };
        match self.case.format {
            Format::Onnx => self.moments("output", suffix, &with),
            Format::PyTorch => {
                self.moments("running", suffix, &with);
                self.push(format!("num_batches_tracked{suffix}"), At::Feature, 0.0, vec![1.0], &[false]);
            }
        }
    }

    /// With the running statistics; without them, with those of the input.
    fn evaluation(&mut self, input: &'a Input, running: Option<Running>, lost: &[bool]) {
        let own = Statistics::of(&input.x, self.case.view(input.batch));
        let buffer = running.as_ref().map(|running| &running.mean[..]);
        let resolution = Resolution { largest: &own.largest, buffer };
        let (mean, var) = match &running {
            Some(running) => (&running.mean, &running.var),
            None => (&own.mean, &own.var),
        };
        let beyond = beyond(var).iter().zip(lost).map(|(beyond, lost)| *beyond || *lost).collect();
        let with = Normalization { mean, var, resolution, beyond };
        self.output(if self.case.format == Format::Onnx { "y" } else { "y_eval" }, "", input, &with);
        self.gradients("eval_", "", input, &with);
    }

    fn moments(&mut self, prefix: &str, suffix: &str, of: &Normalization) {
        let floor = SMALLEST_NORMAL / FORWARD;
        let mean = of.mean.iter().zip(of.var).map(|(mean, var)| mean.abs().max(var.sqrt()).max(floor));
        let spacing = of.resolution.largest.iter().map(|largest| (ROUNDING * largest).powi(2));
        let var = of.var.iter().zip(spacing).map(|(var, spacing)| var.max(spacing).max(floor));
        let none = vec![false; of.mean.len()];
        self.push(format!("{prefix}_mean{suffix}"), At::Feature, FORWARD, mean.collect(), &none);
        self.push(format!("{prefix}_var{suffix}"), At::Feature, FORWARD, var.collect(), &of.beyond);
    }

    fn output(&mut self, name: &str, suffix: &str, input: &'a Input, with: &Normalization) {
        let case = self.case;
        let (tensor, at) = self.place(name, suffix, input);
        let truth = case.truth.get(&tensor).into_iter().flat_map(|truth| &truth.values);
        let largest = truth.map(|y| y.abs()).filter(|y| y.is_finite()).fold(0.0, f64::max);
        let scale = |c: usize| largest.max(slope(case, with, c) * with.resolution.at(c, FORWARD));
        self.push(tensor, at, FORWARD, (0..case.features).map(scale).collect(), &with.beyond);
        if let Some(squares) = case.truth.get(&format!("{name}_sq{suffix}")) {
            self.sums(name, suffix, input, FORWARD, &squares.values, &with.beyond);
        }
    }

    fn constant_features(&mut self, suffix: &str, input: &'a Input, batch: &Statistics) {
        let case = self.case;
        let (tensor, at) = self.place("y", suffix, input);
        let size = |c: usize| (case.bias(c).abs() + case.weight(c).abs()).max(SMALLEST_NORMAL);
        self.list.push(Rule {
            tensor,
            against: Against::Bias(batch.constant.clone()),
            at,
            tolerance: BACKWARD,
            scale: (0..case.features).map(size).collect(),
            beyond: vec![false; case.features],
        });
    }

    fn gradients(&mut self, prefix: &str, suffix: &str, input: &'a Input, with: &Normalization) {
        let Some(dy) = &input.dy else { return };
        let (case, view) = (self.case, self.case.view(input.batch));
        let mut largest = vec![0.0f64; case.features];
        let mut squares = vec![0.0; case.features];
        let (mut dbias, mut dweight) = (vec![0.0; case.features], vec![0.0; case.features]);
        for (i, (&x, &dy)) in input.x.iter().zip(dy).enumerate() {
            let (c, dy) = (view.feature(i), f64::from(dy).abs());
            largest[c] = largest[c].max(dy);
            squares[c] += dy * dy;
            dbias[c] += dy;
            dweight[c] += dy * (f64::from(x) - with.mean[c]).abs() * invstd(case, with, c);
        }
        for c in 0..case.features {
            largest[c] = (slope(case, with, c) * largest[c]).max(SMALLEST_NORMAL / BACKWARD);
            squares[c] *= slope(case, with, c).powi(2);
            let floor = dbias[c] * invstd(case, with, c) * with.resolution.at(c, BACKWARD);
            dweight[c] = dweight[c].max(floor);
        }
        let name = format!("{prefix}dx");
        let (tensor, at) = self.place(&name, suffix, input);
        self.push(tensor, at, BACKWARD, largest, &with.beyond);
        if case.truth.contains_key(&format!("{name}_sq{suffix}")) {
            self.sums(&name, suffix, input, BACKWARD, &squares, &with.beyond);
        }
        if case.weight.is_some() {
            let none = vec![false; case.features];
            self.push(format!("{prefix}dweight{suffix}"), At::Feature, BACKWARD, dweight, &with.beyond);
            self.push(format!("{prefix}dbias{suffix}"), At::Feature, BACKWARD, dbias, &none);
        }
    }

    /// The sums over a sampled tensor, given the Σt² of each feature.
    fn sums(
        &mut self,
        name: &str,
        suffix: &str,
        input: &Input,
        tolerance: f64,
        squares: &[f64],
        beyond: &[bool],
    ) {
        let Some(sampling) = &self.case.sampling else { return };
        let view = self.case.view(input.batch);
        let weights = feature_sums(view, sampling.r.len(), |i| f64::from(sampling.r[i]).powi(2));
        let count = view.count() as f64;
        let mut push = |sum: &str, scale: &dyn Fn(usize) -> f64| {
            let scale = (0..squares.len()).map(|c| scale(c).max(SMALLEST_NORMAL / tolerance)).collect();
            self.push(format!("{name}_{sum}{suffix}"), At::Feature, tolerance, scale, beyond);
        };
        push("sum", &|c| (count * squares[c]).sqrt());
        push("sq", &|c| 2.0 * squares[c]);
        push("dot", &|c| (weights[c] * squares[c]).sqrt());
    }

    fn stored(&mut self) {
        let largest = |tensor: &Tensor| tensor.values.iter().map(|v| v.abs()).fold(SMALLEST_NORMAL, f64::max);
        let case = self.case;
        for (name, stored) in &case.stored {
            let input = case.steps.iter().chain(&case.evaluation).next();
            let at = match input.filter(|_| name == "y") {
                Some(input) => At::Element(case.view(input.batch)),
                None => At::Feature,
            };
            self.list.push(Rule {
                tensor: name.clone(),
                against: Against::Stored,
                at,
                tolerance: STORED,
                scale: vec![largest(stored); case.features],
                beyond: vec![false; case.features],
            });
        }
    }

    /// The published name of a tensor of the input's shape, and the features of its values.
    fn place(&self, name: &str, suffix: &str, input: &Input) -> (String, At<'a>) {
        let view = self.case.view(input.batch);
        match self.case.sample_index(name) {
            None => (format!("{name}{suffix}"), At::Element(view)),
            Some(index) => (format!("{name}_sample{suffix}"), At::Sample(view, index)),
        }
    }
}

/// Features whose variance float32 cannot hold.
fn beyond(var: &[f64]) -> Vec<bool> {
    var.iter().map(|&var| var > LARGEST).collect()
}

fn invstd(case: &Case, with: &Normalization, c: usize) -> f64 {
    1.0 / (with.var[c] + case.eps).sqrt()
}

/// |∂y/∂x| at fixed statistics.
fn slope(case: &Case, with: &Normalization, c: usize) -> f64 {
    case.weight(c).abs() * invstd(case, with, c)
}
