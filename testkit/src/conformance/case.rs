//! Reads a reference file into a [`Case`]: what to run, and the float64 truth to compare with.
//!
//! Two formats, both safetensors, told apart by their metadata: PyTorch cases (tests/data/scripts/gen_goldens.py
//! describes them) and ONNX backend tests (tests/data/scripts/onnx_goldens.py).

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::file::File;
use super::{onnx, pytorch};
use crate::layout::Layout;

/// A message that names what was required and what was given.
pub type Result<T> = std::result::Result<T, String>;

/// Whose semantics and tensor names a file follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    PyTorch,
    Onnx,
}

/// A shape and its values; float32 and int64 tensors are widened, which is exact.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub values: Vec<f64>,
}

/// The input of one pass through the layer.
pub struct Input {
    pub batch: usize,
    pub x: Vec<f32>,
    /// Gradient of the pass's output; without it there is no backward pass.
    pub dy: Option<Vec<f32>>,
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
    /// Float64 results by the name of the float32 result they judge: y64.0 is the truth of y.0.
    pub truth: BTreeMap<String, Tensor>,
    /// Float32 results, for formats that store no others: good for a loose comparison.
    pub stored: BTreeMap<String, Tensor>,
    /// What the file gives no input for: name and reason.
    pub skipped: Vec<(String, String)>,
}

impl Case {
    /// Reads the bytes of a reference file.
    pub fn read(bytes: &[u8]) -> Result<Case> {
        let file = File::open(bytes)?;
        if file.metadata.get("op").is_some_and(|op| op == "BatchNormalization") {
            onnx::read(&file)
        } else if file.metadata.contains_key("format_version") {
            pytorch::read(&file)
        } else {
            Err("unknown kind of file: required metadata format_version (a PyTorch case) or \
                 op BatchNormalization (an ONNX test), given neither"
                .into())
        }
    }

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
    pub(super) fn new(file: &File, format: Format, eps: f64, momentum: Option<f64>) -> Result<(Case, usize)> {
        let (batch, features, positions, features_last) = axes(file)?;
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

/// Batch, features and spatial axes of the file's shape, and whether its layout has the features last.
fn axes(file: &File) -> Result<(usize, usize, Vec<usize>, bool)> {
    let layout = file.text("layout")?;
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
    let text = file.text("shape")?;
    let shape: Vec<usize> = (text.split(',').map(str::parse).collect::<std::result::Result<_, _>>())
        .map_err(|_| format!("shape: required sizes between commas, given {text}"))?;
    if shape.len() != axes + 2 {
        return Err(format!("shape: required {} axes for layout {layout}, given {text}", axes + 2));
    }
    Ok(match features_last {
        true => (shape[0], shape[axes + 1], shape[1..=axes].to_vec(), true),
        false => (shape[0], shape[1], shape[2..].to_vec(), false),
    })
}
