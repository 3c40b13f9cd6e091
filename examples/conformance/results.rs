//! What running a case gives, the names it is published under, and the file it is written to.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use serde_json::Value;

use super::case::{Buffers, Case, Format, Result, Tensor, View};

/// Gradients of one pass; None: not computed.
#[derive(Default)]
pub struct Gradients {
    pub dx: Option<Vec<f32>>,
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
                    published.insert("num_batches_tracked", suffix, &[], Dtype::I64, [buffers.batches]);
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
        if let Some(dx) = &gradients.dx {
            self.large(&format!("{prefix}dx"), suffix, batch, dx);
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
            return self.insert(name, suffix, &self.case.shape(batch), Dtype::F32, values.iter().copied());
        };
        let sample = index.iter().map(|&i| values[i]);
        self.insert(&format!("{name}_sample"), suffix, &[index.len()], Dtype::F32, sample);
        if matches!(name, "y" | "dx") {
            let view = self.case.view(batch);
            let one = |i: usize| f64::from(values[i]);
            let sums: [(&str, &dyn Fn(usize) -> f64); 3] = [
                ("sum", &one),
                ("sq", &|i| one(i) * one(i)),
                ("dot", &|i| one(i) * f64::from(sampling.r[i])),
            ];
            for (sum, term) in sums {
                let sums = feature_sums(view, values.len(), term);
                self.insert(&format!("{name}_{sum}"), suffix, &[view.features], Dtype::F64, sums);
            }
        }
    }
}

/// Σ of `term` over the values of each feature.
pub fn feature_sums(view: View, len: usize, term: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; view.features];
    for i in 0..len {
        sums[view.feature(i)] += term(i);
    }
    sums
}

/// Tensors and metadata as a safetensors file; the same content gives the same bytes.
pub fn encode(tensors: &BTreeMap<String, Tensor>, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let bytes: Vec<Vec<u8>> = tensors.values().map(little_endian).collect();
    let mut views = Vec::new();
    for ((name, tensor), data) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), data);
        views.push((name, view.map_err(|error| format!("{name}: {error}"))?));
    }
    let metadata: HashMap<_, _> = metadata.clone().into_iter().collect();
    let mut file = serialize(views, Some(metadata)).map_err(|error| error.to_string())?;
    sort_header(&mut file).map_err(|error| error.to_string())?;
    Ok(file)
}

/// The library writes metadata in hash order; sorted, the header has the same length.
fn sort_header(file: &mut [u8]) -> serde_json::Result<()> {
    let (length, rest) = file.split_at_mut(8);
    let length = length.iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte));
    let header = &mut rest[..length];
    let entries: BTreeMap<String, Value> = serde_json::from_slice(header)?;
    let sorted = serde_json::to_vec(&entries)?;
    if sorted.len() <= length {
        header.fill(b' ');
        header[..sorted.len()].copy_from_slice(&sorted);
    }
    Ok(())
}

fn little_endian(tensor: &Tensor) -> Vec<u8> {
    let values = tensor.values.iter();
    match tensor.dtype {
        Dtype::F32 => values.flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        Dtype::I64 => values.flat_map(|&v| (v as i64).to_le_bytes()).collect(),
        _ => values.flat_map(|v| v.to_le_bytes()).collect(),
    }
}
