//! What each tensor of a case is judged by: the size of what was added up to get there, and a tolerance.
//!
//! tests/data/README.md states the rule, which [`scales`](crate::scales) computes; here it is applied to the tensors
//! of a file, in the order in which the layer makes them.

use wgpu_batchnorm::{StorageType, cpu};

use super::case::{Case, Format, Input};
use super::rule::{Against, At, Rule};
use super::statistics::{Running, Statistics};
use crate::layout::feature_sums;
use crate::scales::{self, BACKWARD, FORWARD, Feature, Pass, SMALLEST_NORMAL};

/// The tolerance of what another implementation stored in float32.
const STORED: f64 = 5e-6;
const LARGEST: f64 = f32::MAX as f64;

/// The rules for all tensors of a case, in the order in which the layer makes them.
pub fn rules(case: &Case) -> Vec<Rule<'_>> {
    let mut rules = Rules { case, list: Vec::new() };
    let mut running = case.buffers.as_ref().map(Running::new);
    let mut lost = vec![false; case.features];
    for (k, input) in case.steps.iter().enumerate() {
        let suffix = case.suffix(k);
        let batch = Statistics::of(input, case.layout(input.batch));
        rules.training(&suffix, input, &batch);
        if let Some(running) = &mut running {
            running.update(&batch, case);
            for (lost, var) in lost.iter_mut().zip(&batch.var) {
                *lost |= var * batch.bessel() > LARGEST;
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

struct Rules<'a> {
    case: &'a Case,
    list: Vec<Rule<'a>>,
}

impl<'a> Rules<'a> {
    fn push(&mut self, tensor: String, at: At<'a>, tolerance: f64, scale: Vec<f64>, beyond: &[bool]) {
        let beyond = beyond.to_vec();
        let storage = match at {
            At::Feature => StorageType::Float32,
            At::Element(..) | At::Sample(..) => self.case.storage,
        };
        self.list.push(Rule { tensor, against: Against::Truth, at, storage, tolerance, scale, beyond });
    }

    fn training(&mut self, suffix: &str, input: &'a Input, batch: &Statistics) {
        let beyond = beyond(&batch.var);
        if self.case.format == Format::PyTorch {
            self.moments("batch", suffix, (&batch.mean, &batch.var), &batch.largest, &beyond);
        }
        let pass = self.pass(input, &batch.mean, &batch.var);
        self.output("y", suffix, input, &pass, &beyond);
        if batch.constant.contains(&true) && !self.case.is_extended() {
            self.constant_features(suffix, input, batch);
        }
        self.gradients("", suffix, input, &pass, &beyond);
    }

    /// `lost` marks features whose variance was beyond float32 in this or an earlier step.
    fn buffers(&mut self, suffix: &str, batch: &Statistics, running: &Running, lost: &[bool]) {
        let moments = (&running.mean[..], &running.var[..]);
        match self.case.format {
            Format::Onnx => self.moments("output", suffix, moments, &batch.largest, lost),
            Format::PyTorch => {
                self.moments("running", suffix, moments, &batch.largest, lost);
                self.push(format!("num_batches_tracked{suffix}"), At::Feature, 0.0, vec![1.0], &[false]);
            }
        }
    }

    /// With the running statistics; without them, with those of the input.
    fn evaluation(&mut self, input: &'a Input, running: Option<Running>, lost: &[bool]) {
        let (pass, var) = match running {
            Some(Running { mean, var, .. }) => (self.pass(input, &mean, &var).with_rounded_means(), var),
            None => {
                let Statistics { mean, var, .. } = Statistics::of(input, self.case.layout(input.batch));
                (self.pass(input, &mean, &var), var)
            }
        };
        let beyond: Vec<bool> =
            beyond(&var).iter().zip(lost).map(|(beyond, lost)| *beyond || *lost).collect();
        let name = if self.case.format == Format::Onnx { "y" } else { "y_eval" };
        self.output(name, "", input, &pass, &beyond);
        self.gradients("eval_", "", input, &pass, &beyond);
    }

    fn pass(&self, input: &'a Input, mean: &[f64], var: &[f64]) -> Pass<'a> {
        let feature = |c: usize| Feature {
            mean: mean[c],
            invstd: 1.0 / (var[c] + self.case.eps).sqrt(),
            weight: self.case.weight(c),
        };
        let features = (0..self.case.features).map(feature).collect();
        Pass::new(&input.x, self.case.layout(input.batch), features).with_valid(input.valid.as_deref())
    }

    /// Means and variances of values with these largest magnitudes.
    fn moments(
        &mut self,
        prefix: &str,
        suffix: &str,
        (mean, var): (&[f64], &[f64]),
        largest: &[f64],
        beyond: &[bool],
    ) {
        let mean = mean.iter().zip(var).map(|(&mean, &var)| scales::mean(mean, var)).collect();
        let var = var.iter().zip(largest).map(|(&var, &largest)| scales::variance(var, largest)).collect();
        self.push(format!("{prefix}_mean{suffix}"), At::Feature, FORWARD, mean, &vec![false; beyond.len()]);
        self.push(format!("{prefix}_var{suffix}"), At::Feature, FORWARD, var, beyond);
    }

    fn output(&mut self, name: &str, suffix: &str, input: &'a Input, pass: &Pass, beyond: &[bool]) {
        let case = self.case;
        let (tensor, at) = self.place(name, suffix, input);
        let y = case.truth.get(&tensor).map_or(&[][..], |truth| &truth.values);
        let scale = match case.is_extended() {
            true => vec![largest(y); case.features],
            false => pass.output(y, |i| at.index(i)),
        };
        self.push(tensor, at, FORWARD, scale, beyond);
        if let Some(squares) = case.truth.get(&format!("{name}_sq{suffix}")) {
            self.sums(name, suffix, input, FORWARD, &squares.values, beyond);
        }
    }

    fn constant_features(&mut self, suffix: &str, input: &'a Input, batch: &Statistics) {
        let case = self.case;
        let (tensor, at) = self.place("y", suffix, input);
        let scale = |c: usize| scales::constant_output(case.weight(c), case.bias(c));
        self.list.push(Rule {
            tensor,
            against: Against::Bias(batch.constant.clone()),
            at,
            storage: self.case.storage,
            tolerance: BACKWARD,
            scale: (0..case.features).map(scale).collect(),
            beyond: vec![false; case.features],
        });
    }

    fn gradients(&mut self, prefix: &str, suffix: &str, input: &'a Input, pass: &Pass, beyond: &[bool]) {
        let Some(dy) = &input.dy else { return };
        let case = self.case;
        let g = after_activation(case, input, dy, pass);
        let scales::Gradients { mut dx, dweight, dbias } = pass.gradients(&g);
        let name = format!("{prefix}dx");
        let (tensor, at) = self.place(&name, suffix, input);
        if case.is_extended() {
            let largest = case.truth.get(&tensor).map_or(f64::MAX, |truth| largest(&truth.values));
            dx.iter_mut().for_each(|scale| *scale = scale.min(largest));
        }
        if case.epilogue.residual {
            let (tensor, at) = self.place(&format!("{prefix}dz"), suffix, input);
            self.push(tensor, at, BACKWARD, vec![largest(&g); case.features], &vec![false; case.features]);
        }
        self.push(tensor, at, BACKWARD, dx, beyond);
        if case.truth.contains_key(&format!("{name}_sq{suffix}")) {
            let layout = case.layout(input.batch);
            let term = |i: usize| (pass.feature(layout.feature(i)).slope() * f64::from(dy[i])).powi(2);
            self.sums(&name, suffix, input, BACKWARD, &feature_sums(layout, dy.len(), term), beyond);
        }
        if case.weight.is_some() {
            let none = vec![false; case.features];
            self.push(format!("{prefix}dweight{suffix}"), At::Feature, BACKWARD, dweight, beyond);
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
        let layout = self.case.layout(input.batch);
        let weights = feature_sums(layout, sampling.r.len(), |i| f64::from(sampling.r[i]).powi(2));
        let count = layout.count() as f64;
        let mut push = |sum: &str, scale: &dyn Fn(usize) -> f64| {
            let scale = (0..squares.len()).map(|c| scale(c).max(SMALLEST_NORMAL / tolerance)).collect();
            self.push(format!("{name}_{sum}{suffix}"), At::Feature, tolerance, scale, beyond);
        };
        push("sum", &|c| (count * squares[c]).sqrt());
        push("sq", &|c| 2.0 * squares[c]);
        push("dot", &|c| (weights[c] * squares[c]).sqrt());
    }

    fn stored(&mut self) {
        let case = self.case;
        for (name, stored) in &case.stored {
            let input = case.steps.iter().chain(&case.evaluation).next();
            let at = match input.filter(|_| name == "y") {
                Some(input) => At::Element(case.layout(input.batch), None),
                None => At::Feature,
            };
            self.list.push(Rule {
                tensor: name.clone(),
                against: Against::Stored,
                at,
                storage: StorageType::Float32,
                tolerance: STORED,
                scale: vec![largest(&stored.values).max(SMALLEST_NORMAL); case.features],
                beyond: vec![false; case.features],
            });
        }
    }

    /// The published name of a tensor of the input's shape, and the features of its values.
    fn place(&self, name: &str, suffix: &str, input: &'a Input) -> (String, At<'a>) {
        let layout = self.case.layout(input.batch);
        match self.case.sample_index(name) {
            None => (format!("{name}{suffix}"), At::Element(layout, input.valid.as_deref())),
            Some(index) => (format!("{name}_sample{suffix}"), At::Sample(layout, index)),
        }
    }
}

/// The gradient with respect to what the activation takes; 0 where no value is valid.
fn after_activation(case: &Case, input: &Input, dy: &[f32], pass: &Pass) -> Vec<f64> {
    let (layout, valid) = (case.layout(input.batch), input.valid.as_deref());
    let activation = cpu::Function::from(case.epilogue.activation);
    let gradient = |(i, &dy): (usize, &f32)| {
        let c = layout.feature(i);
        let &Feature { mean, invstd, weight } = pass.feature(c);
        let z = input.z.as_ref().map_or(0.0, |z| z[i].into());
        let pre_activation = (f64::from(input.x[i]) - mean) * invstd * weight + case.bias(c) + z;
        if scales::is_valid(layout, valid, i) { activation.gradient(pre_activation, dy.into()) } else { 0.0 }
    };
    dy.iter().enumerate().map(gradient).collect()
}

/// The largest finite magnitude.
fn largest(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max)
}

/// Features whose variance float32 cannot hold.
fn beyond(var: &[f64]) -> Vec<bool> {
    var.iter().map(|&var| var > LARGEST).collect()
}
