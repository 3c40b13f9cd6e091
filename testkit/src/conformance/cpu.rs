//! Runs a case through the crate's CPU reference.

use std::ops::Range;

use wgpu_batchnorm::cpu::parts::{Finalized, apply, finalize, gradient_sums, input_gradient, moments};
use wgpu_batchnorm::cpu::{Forward, Layer, Moments, Options, Saved, Sums, backward, evaluate, merge, train};
use wgpu_batchnorm::{Shape, StorageType};

use super::case::{Buffers, Case, Input};
use super::layer::{descriptor, shape, state};
use super::results::{Evaluation, Gradients, Results, Step};
use super::tensor::Result;
use crate::storage::rounded;

/// Runs all steps of `case` in order, then its evaluation.
pub fn run(case: &Case) -> Result<Results> {
    let mut layer = Layer::with_state(&descriptor(case)?, &state(case));
    let mut results = Results::default();
    for input in &case.steps {
        let pass = Pass::new(case, input)?;
        let moments = pass.moments();
        let Forward { y, saved, .. } = pass.train(&mut layer, &moments);
        results.steps.push(Step {
            y: stored(case, &y),
            batch: Some(moments.iter().map(|m| (m.mean as f32, m.variance as f32)).unzip()),
            buffers: case.buffers.is_some().then(|| Buffers {
                mean: float32(&layer.running_mean),
                var: float32(&layer.running_var),
                batches: layer.num_batches_tracked,
            }),
            gradients: pass.gradients(&saved),
        });
    }
    if let Some(input) = &case.evaluation {
        let pass = Pass::new(case, input)?;
        let Forward { y, saved, .. } = evaluate(&input.x, pass.shape, &layer, &pass.options);
        results.evaluation = Some(Evaluation { y: stored(case, &y), gradients: pass.gradients(&saved) });
    }
    Ok(results)
}

/// One pass through the layer: whole, or in the parts that its input comes in.
struct Pass<'a> {
    case: &'a Case,
    input: &'a Input,
    shape: Shape,
    options: Options<'a>,
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    shape: Shape,
    options: Options<'a>,
    /// Where its values are in the batch's tensors.
    values: Range<usize>,
}

impl<'a> Pass<'a> {
    fn new(case: &'a Case, input: &'a Input) -> Result<Self> {
        let batch = shape(case, input.batch)?;
        let mut options = Options::default().activation(case.epilogue.activation);
        if let Some(z) = &input.z {
            options = options.residual(z);
        }
        if let Some(valid) = &input.valid {
            options = options.valid(valid);
        }
        let (mut parts, mut start) = (Vec::new(), 0);
        let example = case.shape(1).iter().product::<usize>();
        for &examples in &input.parts {
            let end = start + examples;
            parts.push(Part {
                shape: shape(case, examples)?,
                options: options.of_examples(start..end, batch),
                values: start * example..end * example,
            });
            start = end;
        }
        Ok(Self { case, input, shape: batch, options, parts })
    }

    /// The moments of the batch, merged of those of its parts.
    fn moments(&self) -> Vec<Moments> {
        if self.parts.is_empty() {
            return moments(&self.input.x, self.shape, &self.options);
        }
        let mut merged = vec![Moments::default(); self.case.features];
        for part in &self.parts {
            let x = &self.input.x[part.values.clone()];
            for (merged, part) in merged.iter_mut().zip(moments(x, part.shape, &part.options)) {
                *merged = merge(*merged, part);
            }
        }
        merged
    }

    fn train(&self, layer: &mut Layer, moments: &[Moments]) -> Forward {
        if self.parts.is_empty() {
            return train(&self.input.x, self.shape, layer, &self.options);
        }
        let Finalized { saved, skipped } = finalize(moments, layer, &self.options);
        let y = |part: &Part| apply(&self.input.x[part.values.clone()], part.shape, &saved, &part.options);
        let y = self.parts.iter().flat_map(y).collect();
        Forward { y, saved, skipped }
    }

    fn gradients(&self, saved: &[Saved]) -> Gradients {
        let Some(dy) = &self.input.dy else { return Gradients::default() };
        let (dx, dz, sums) = if self.parts.is_empty() {
            let gradients = backward(&self.input.x, dy, self.shape, saved, &self.options);
            (gradients.dx, gradients.dz, gradients.sums)
        } else {
            self.gradients_of_parts(dy, saved)
        };
        let (dbias, dweight): (Vec<f64>, Vec<f64>) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
        Gradients {
            dx: Some(stored(self.case, &dx)),
            dz: self.input.z.is_some().then(|| stored(self.case, &dz)),
            dweight: self.case.weight.is_some().then(|| float32(&dweight)),
            dbias: self.case.bias.is_some().then(|| float32(&dbias)),
        }
    }

    fn gradients_of_parts(&self, dy: &[f32], saved: &[Saved]) -> (Vec<f64>, Vec<f64>, Vec<Sums>) {
        let tensors = |part: &Part| (&self.input.x[part.values.clone()], &dy[part.values.clone()]);
        let mut sums = vec![Sums::default(); self.case.features];
        for part in &self.parts {
            let (x, dy) = tensors(part);
            for (sums, part) in sums.iter_mut().zip(gradient_sums(x, dy, part.shape, saved, &part.options)) {
                *sums = *sums + part;
            }
        }
        let (mut dx, mut dz) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let (x, dy) = tensors(part);
            let gradients = input_gradient(x, dy, part.shape, saved, &sums, &part.options);
            dx.extend(gradients.0);
            dz.extend(gradients.1);
        }
        (dx, dz, sums)
    }
}

fn float32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// As the case stores a tensor of x' shape.
fn stored(case: &Case, values: &[f64]) -> Vec<f32> {
    match case.storage {
        StorageType::Float32 => float32(values),
        storage => rounded(&float32(values), storage),
    }
}
