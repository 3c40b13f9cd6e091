//! What a reference file holds: what to run, and the float64 truth to compare with.

use std::collections::BTreeMap;

use wgpu_batchnorm::{Epilogue, StorageType};

use super::file::File;
use super::tensor::{Result, Tensor};
use crate::layout::Layout;

/// Whose semantics and tensor names a file follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    PyTorch,
    Onnx,
}

/// The input of one pass through the layer. Tensors are widened from the case's storage type to float32, which is exact.
pub struct Input {
    pub batch: usize,
    pub x: Vec<f32>,
    /// Gradient of the pass's output; without it there is no backward pass.
    pub dy: Option<Vec<f32>>,
    /// The residual, where the case's epilogue has one.
    pub z: Option<Vec<f32>>,
    /// Which examples and positions take part, all positions of an example in a row; None: all.
    pub valid: Option<Vec<bool>>,
    /// Examples of each part that the batch comes in; empty: it comes whole.
    pub parts: Vec<usize>,
}

impl Input {
    /// A whole batch with neither residual nor mask.
    pub fn new(batch: usize, x: Vec<f32>, dy: Option<Vec<f32>>) -> Self {
        Self { batch, x, dy, z: None, valid: None, parts: Vec::new() }
    }
}

/// The running buffers.
#[derive(Clone, PartialEq, Debug)]
pub struct Buffers {
    pub mean: Vec<f32>,
    pub var: Vec<f32>,
    pub batches: u64,
}

/// How a sampled case reduces its large tensors.
pub struct Sampling {
    pub index: Vec<usize>,
    pub eval_index: Vec<usize>,
    /// The random stream that the `_dot` sums weight a tensor with.
    pub r: Vec<f32>,
}

/// One reference file.
pub struct Case {
    pub name: String,
    pub metadata: BTreeMap<String, String>,
    pub format: Format,
    pub features: usize,
    /// Sizes of the spatial axes; empty for (N, C).
    pub positions: Vec<usize>,
    pub features_last: bool,
    pub eps: f64,
    /// None: the cumulative average.
    pub momentum: Option<f64>,
    pub weight: Option<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
    /// The running buffers before the first step; None: not tracked.
    pub buffers: Option<Buffers>,
    /// Training steps, in order.
    pub steps: Vec<Input>,
    /// The evaluation after them.
    pub evaluation: Option<Input>,
    pub sampling: Option<Sampling>,
    /// How x, dy and z lie in memory, and y, dx and dz shall.
    pub storage: StorageType,
    pub epilogue: Epilogue,
    /// Float64 results by the name of the float32 result they judge: y64.0 is the truth of y.0.
    pub truth: BTreeMap<String, Tensor>,
    /// Float32 results, for formats that store no others: good for a loose comparison.
    pub stored: BTreeMap<String, Tensor>,
    /// What the file gives no input for: name and reason.
    pub skipped: Vec<(String, String)>,
}

impl Case {
    pub fn layout(&self, batch: usize) -> Layout {
        let positions = self.positions.iter().product();
        match self.features_last {
            true => Layout { outer: batch * positions, features: self.features, inner: 1 },
            false => Layout { outer: batch, features: self.features, inner: positions },
        }
    }

    /// The shape of a tensor of `batch` items, in the case's layout.
    pub fn shape(&self, batch: usize) -> Vec<usize> {
        match self.features_last {
            true => [&[batch], &self.positions[..], &[self.features]].concat(),
            false => [&[batch, self.features], &self.positions[..]].concat(),
        }
    }

    /// Whether it takes more than a layer on whole float32 tensors.
    pub fn is_extended(&self) -> bool {
        let inputs = || self.steps.iter().chain(&self.evaluation);
        self.storage != StorageType::Float32
            || self.epilogue != Epilogue::default()
            || inputs().any(|input| input.valid.is_some() || !input.parts.is_empty())
    }

    /// What the tensor names of step `k` end with.
    pub fn suffix(&self, k: usize) -> String {
        if self.steps.len() > 1 { format!(".{k}") } else { String::new() }
    }

    pub fn weight(&self, c: usize) -> f64 {
        self.weight.as_ref().map_or(1.0, |weight| weight[c].into())
    }

    pub fn bias(&self, c: usize) -> f64 {
        self.bias.as_ref().map_or(0.0, |bias| bias[c].into())
    }

    /// Where tensor `name` (y, dx, y_eval, eval_dx) is sampled; None: it is stored whole.
    pub fn sample_index(&self, name: &str) -> Option<&[usize]> {
        let sampling = self.sampling.as_ref()?;
        Some(if matches!(name, "y" | "dx") { &sampling.index } else { &sampling.eval_index })
    }

    /// A case of the file's name and shape, with nothing to run yet.
    pub(super) fn new(
        file: &File,
        format: Format,
        shape: &[usize],
        eps: f64,
        momentum: Option<f64>,
    ) -> Result<(Case, usize)> {
        let (batch, features, positions, features_last) = axes(file.text("layout")?, shape)?;
        let case = Case {
            name: file.text("name")?.into(),
            metadata: file.metadata.clone(),
            format,
            features,
            positions,
            features_last,
            eps,
            momentum,
            weight: None,
            bias: None,
            buffers: None,
            steps: Vec::new(),
            evaluation: None,
            sampling: None,
            storage: StorageType::Float32,
            epilogue: Epilogue::default(),
            truth: BTreeMap::new(),
            stored: BTreeMap::new(),
            skipped: Vec::new(),
        };
        case.len(batch)?;
        Ok((case, batch))
    }

    /// Values in a tensor of `batch` items.
    pub(super) fn len(&self, batch: usize) -> Result<usize> {
        let shape = self.shape(batch);
        let len = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        len.filter(|&len| len > 0 && len <= 1 << 31)
            .ok_or_else(|| format!("shape: required 1 to 2147483648 values, given {shape:?}"))
    }

    /// Notes that the gradients of a pass are skipped, as there is nothing to propagate.
    pub(super) fn skip_gradients(&mut self, prefix: &str, suffix: &str, missing: &str) {
        for name in ["dx", "dweight", "dbias"] {
            self.skipped.push((format!("{prefix}{name}{suffix}"), format!("the file has no {missing}")));
        }
    }
}

/// Batch, features and spatial axes of a shape in a layout, and whether the layout has the features last.
fn axes(layout: &str, shape: &[usize]) -> Result<(usize, usize, Vec<usize>, bool)> {
    let (axes, features_last) = match layout {
        "nc" => (0, false),
        "ncl" => (1, false),
        "nchw" => (2, false),
        "ncdhw" => (3, false),
        "nlc" => (1, true),
        "nhwc" => (2, true),
        "ndhwc" => (3, true),
        _ => {
            return Err(format!("layout: required nc, ncl, nchw, ncdhw, nlc, nhwc or ndhwc, given {layout}"));
        }
    };
    if shape.len() != axes + 2 {
        let given: Vec<String> = shape.iter().map(usize::to_string).collect();
        let (required, given) = (axes + 2, given.join(","));
        return Err(format!("shape: required {required} axes for layout {layout}, given {given}"));
    }
    Ok(match features_last {
        true => (shape[0], shape[axes + 1], shape[1..=axes].to_vec(), true),
        false => (shape[0], shape[1], shape[2..].to_vec(), false),
    })
}
