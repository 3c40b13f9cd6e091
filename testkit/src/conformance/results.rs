//! What running a case gives, and the names it is published under.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::case::{Buffers, Case, Format};
use super::file::dtype;
use super::tensor::Tensor;
use crate::layout::feature_sums;

/// Gradients of one pass. Tensors of x' shape are widened from the case's storage type, here and below. None: not computed.
#[derive(Default)]
pub struct Gradients {
    pub dx: Option<Vec<f32>>,
    /// Of the residual.
    pub dz: Option<Vec<f32>>,
    pub dweight: Option<Vec<f32>>,
    pub dbias: Option<Vec<f32>>,
}

/// Results of one training step.
#[derive(Default)]
pub struct Step {
    pub y: Vec<f32>,
    /// Mean and biased variance of the batch.
    pub batch: Option<(Vec<f32>, Vec<f32>)>,
    /// The running buffers after the step.
    pub buffers: Option<Buffers>,
    pub gradients: Gradients,
}

/// Results of the evaluation.
pub struct Evaluation {
    pub y: Vec<f32>,
    pub gradients: Gradients,
}

/// Everything a run gives.
#[derive(Default)]
pub struct Results {
    pub steps: Vec<Step>,
    pub evaluation: Option<Evaluation>,
}

impl Results {
    /// The tensors under the names of the reference's float32 tensors; a sampled case's reduced as in its file.
    pub fn publish(&self, case: &Case) -> BTreeMap<String, Tensor> {
        let onnx = case.format == Format::Onnx;
        let mut published = Published { case, tensors: BTreeMap::new() };
        for (k, (step, input)) in self.steps.iter().zip(&case.steps).enumerate() {
            let suffix = &case.suffix(k);
            published.large("y", suffix, input.batch, &step.y);
            if let Some((mean, var)) = step.batch.as_ref().filter(|_| !onnx) {
                published.per_feature("batch_mean", suffix, mean);
                published.per_feature("batch_var", suffix, var);
            }
            if let Some(buffers) = &step.buffers {
                let names =
                    if onnx { ["output_mean", "output_var"] } else { ["running_mean", "running_var"] };
                published.per_feature(names[0], suffix, &buffers.mean);
                published.per_feature(names[1], suffix, &buffers.var);
                if !onnx {
                    published.insert(
                        "num_batches_tracked",
                        suffix,
                        &[],
                        Dtype::I64,
                        [buffers.batches as f64],
                    );
                }
            }
            published.gradients("", suffix, input.batch, &step.gradients);
        }
        if let (Some(evaluation), Some(input)) = (&self.evaluation, &case.evaluation) {
            published.large(if onnx { "y" } else { "y_eval" }, "", input.batch, &evaluation.y);
            published.gradients("eval_", "", input.batch, &evaluation.gradients);
        }
        published.tensors
    }
}

struct Published<'a> {
    case: &'a Case,
    tensors: BTreeMap<String, Tensor>,
}

impl Published<'_> {
    fn insert<T: Into<f64>>(
        &mut self,
        name: &str,
        suffix: &str,
        shape: &[usize],
        dtype: Dtype,
        values: impl IntoIterator<Item = T>,
    ) {
        let values = values.into_iter().map(Into::into).collect();
        self.tensors.insert(format!("{name}{suffix}"), Tensor { shape: shape.to_vec(), dtype, values });
    }

    fn per_feature(&mut self, name: &str, suffix: &str, values: &[f32]) {
        self.insert(name, suffix, &[values.len()], Dtype::F32, values.iter().copied());
    }

    fn gradients(&mut self, prefix: &str, suffix: &str, batch: usize, gradients: &Gradients) {
        for (name, values) in [("dx", &gradients.dx), ("dz", &gradients.dz)] {
            if let Some(values) = values {
                self.large(&format!("{prefix}{name}"), suffix, batch, values);
            }
        }
        for (name, values) in [("dweight", &gradients.dweight), ("dbias", &gradients.dbias)] {
            if let Some(values) = values {
                self.per_feature(&format!("{prefix}{name}"), suffix, values);
            }
        }
    }

    /// A tensor of the input's shape: whole, or its sample and, after training, its sums per feature.
    fn large(&mut self, name: &str, suffix: &str, batch: usize, values: &[f32]) {
        let (Some(index), Some(sampling)) = (self.case.sample_index(name), &self.case.sampling) else {
            let (shape, dtype) = (self.case.shape(batch), dtype(self.case.storage));
            return self.insert(name, suffix, &shape, dtype, values.iter().copied());
        };
        let sample = index.iter().map(|&i| values[i]);
        self.insert(&format!("{name}_sample"), suffix, &[index.len()], Dtype::F32, sample);
        if matches!(name, "y" | "dx") {
            let layout = self.case.layout(batch);
            let one = |i: usize| f64::from(values[i]);
            let sums: [(&str, &dyn Fn(usize) -> f64); 3] = [
                ("sum", &one),
                ("sq", &|i| one(i) * one(i)),
                ("dot", &|i| one(i) * f64::from(sampling.r[i])),
            ];
            for (sum, term) in sums {
                let sums = feature_sums(layout, values.len(), term);
                self.insert(&format!("{name}_{sum}"), suffix, &[layout.features], Dtype::F64, sums);
            }
        }
    }
}
