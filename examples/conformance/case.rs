//! Reads a reference file into a [`Case`]: what to run, and the float64 truth to compare with.
//!
//! Two formats, both safetensors, told apart by their metadata: PyTorch cases (tests/data/scripts/gen_goldens.py
//! describes them) and ONNX backend tests (tests/data/scripts/onnx_goldens.py).

use std::collections::BTreeMap;
use std::str::FromStr;

use safetensors::{Dtype, SafeTensors};

use super::formula;
use super::statistics::{Running, Statistics, normalize};

/// A message that names what was required and what was given.
pub type Result<T> = std::result::Result<T, String>;

/// Whose semantics and tensor names a file follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    PyTorch,
    Onnx,
}

/// Any layout, as kernels see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    pub outer: usize,
    pub features: usize,
    pub inner: usize,
}

impl View {
    /// The feature of the value at flat index `i`.
    pub fn feature(&self, i: usize) -> usize {
        i / self.inner % self.features
    }

    /// Values per feature.
    pub fn count(&self) -> usize {
        self.outer * self.inner
    }
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
    pub batches: u32,
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
            onnx(&file)
        } else if file.metadata.contains_key("format_version") {
            pytorch(&file)
        } else {
            Err("unknown kind of file: required metadata format_version (a PyTorch case) or \
                 op BatchNormalization (an ONNX test), given neither"
                .into())
        }
    }

    pub fn view(&self, batch: usize) -> View {
        let positions = self.positions.iter().product();
        match self.features_last {
            true => View { outer: batch * positions, features: self.features, inner: 1 },
            false => View { outer: batch, features: self.features, inner: positions },
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
    fn new(file: &File, format: Format, eps: f64, momentum: Option<f64>) -> Result<(Case, usize)> {
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
                return Err(format!(
                    "layout: required nc, ncl, nchw, ncdhw, nlc, nhwc or ndhwc, given {layout}"
                ));
            }
        };
        let text = file.text("shape")?;
        let shape: Vec<usize> = (text.split(',').map(str::parse).collect::<std::result::Result<_, _>>())
            .map_err(|_| format!("shape: required sizes between commas, given {text}"))?;
        if shape.len() != axes + 2 {
            return Err(format!("shape: required {} axes for layout {layout}, given {text}", axes + 2));
        }
        let (features, positions) = match features_last {
            true => (shape[axes + 1], shape[1..=axes].to_vec()),
            false => (shape[1], shape[2..].to_vec()),
        };
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
        case.len(shape[0])?;
        Ok((case, shape[0]))
    }

    /// Values in a tensor of `batch` items.
    fn len(&self, batch: usize) -> Result<usize> {
        let shape = self.shape(batch);
        let len = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        len.filter(|&len| len > 0 && len <= 1 << 31)
            .ok_or_else(|| format!("shape: required 1 to 2147483648 values, given {shape:?}"))
    }

    /// Notes that the gradients of a pass are skipped, as there is nothing to propagate.
    fn skip_gradients(&mut self, prefix: &str, suffix: &str, missing: &str) {
        for name in ["dx", "dweight", "dbias"] {
            self.skipped.push((format!("{prefix}{name}{suffix}"), format!("the file has no {missing}")));
        }
    }
}

fn pytorch(file: &File) -> Result<Case> {
    let version = file.text("format_version")?;
    if version != "1" {
        return Err(format!("format_version: required 1, given {version}"));
    }
    let momentum = match file.text("momentum")? {
        "none" => None,
        _ => Some(file.number("momentum")?),
    };
    let (mut case, batch) = Case::new(file, Format::PyTorch, file.number("eps")?, momentum)?;
    let features: usize = file.number("features")?;
    if features != case.features {
        return Err(format!("features: required {} by the shape, given {features}", case.features));
    }
    if file.number("affine")? {
        case.weight = Some(file.float32("weight", &[features])?);
        case.bias = Some(file.float32("bias", &[features])?);
    }
    if file.number("track_running_stats")? {
        let batches = file.int64("num_batches_tracked_in")?;
        case.buffers = Some(Buffers {
            mean: file.float32("running_mean_in", &[features])?,
            var: file.float32("running_var_in", &[features])?,
            batches: (batches.first().and_then(|&count| u32::try_from(count).ok())).ok_or_else(|| {
                format!("num_batches_tracked_in: required 0 to {}, given {batches:?}", u32::MAX)
            })?,
        });
    }
    let steps: usize = file.number("steps")?;
    match file.text("storage")? {
        "full" => {
            let suffixes = (0..steps).map(|k| if steps > 1 { format!(".{k}") } else { String::new() });
            for suffix in suffixes {
                let input = stored_input(file, &mut case, "", &suffix)?;
                case.steps.push(input);
            }
            if file.has("xe") {
                case.evaluation = Some(stored_input(file, &mut case, "e", "")?);
            }
        }
        "sampled" if steps == 1 => sampled_inputs(file, &mut case, batch)?,
        "sampled" => return Err(format!("steps: required 1 for sampled storage, given {steps}")),
        other => return Err(format!("storage: required full or sampled, given {other}")),
    }
    if case.evaluation.is_none() {
        case.skipped.push(("y_eval".into(), "the file has no xe".into()));
        case.skip_gradients("eval_", "", "xe");
    }
    for name in file.tensors.names() {
        let tensor = file.tensor(name)?;
        if tensor.dtype == Dtype::F64 || name.starts_with("num_batches_tracked") && !name.ends_with("_in") {
            case.truth.insert(name.replacen("64", "", 1), tensor);
        }
    }
    Ok(case)
}

/// The tensors x and dy (`kind` empty) or xe and dye (`kind` e) of a file that stores them.
fn stored_input(file: &File, case: &mut Case, kind: &str, suffix: &str) -> Result<Input> {
    let batch = *file.shape(&format!("x{kind}{suffix}"))?.first().unwrap_or(&0);
    case.len(batch)?;
    let shape = case.shape(batch);
    let x = file.float32(&format!("x{kind}{suffix}"), &shape)?;
    let dy = format!("dy{kind}{suffix}");
    if file.has(&dy) {
        return Ok(Input { batch, x, dy: Some(file.float32(&dy, &shape)?) });
    }
    let prefix = if kind.is_empty() { "" } else { "eval_" };
    case.skip_gradients(prefix, suffix, &dy);
    Ok(Input { batch, x, dy: None })
}

/// Inputs from the formula, each held against the file's checksum.
fn sampled_inputs(file: &File, case: &mut Case, batch: usize) -> Result<()> {
    let checked = |kind: &str, values: Vec<f32>| {
        let (required, given) =
            (file.number::<u64>(&format!("checksum_{kind}"))?, formula::checksum(&values));
        match required == given {
            true => Ok(values),
            false => Err(format!(
                "checksum of {kind}: required {required} by the file, given {given} by the formula"
            )),
        }
    };
    let seed = |kind: &str| file.number::<u64>(&format!("seed_{kind}"));
    let input = |kind: &str, batch: usize| -> Result<Input> {
        let (x, dy) = (format!("x{kind}"), format!("dy{kind}"));
        let (len, view) = (case.len(batch)?, case.view(batch));
        let x = checked(&x, formula::input(seed(&x)?, len, |i| view.feature(i)))?;
        let dy = checked(&dy, formula::uniform(seed(&dy)?, len))?;
        Ok(Input { batch, x, dy: Some(dy) })
    };
    let index = |name: &str, len: usize| -> Result<Vec<usize>> {
        let place = |i: i64| {
            let place = usize::try_from(i).ok().filter(|&i| i < len);
            place.ok_or_else(|| format!("{name}: required indices below {len}, given {i}"))
        };
        file.int64(name)?.into_iter().map(place).collect()
    };
    let step = input("", batch)?;
    let evaluation = input("e", file.number("eval_batch")?)?;
    case.sampling = Some(Sampling {
        index: index("sample_index", step.x.len())?,
        eval_index: index("eval_sample_index", evaluation.x.len())?,
        r: formula::uniform(seed("r")?, step.x.len()),
    });
    case.steps.push(step);
    case.evaluation = Some(evaluation);
    Ok(())
}

/// ONNX files hold float32 results only, so their truth is computed here.
fn onnx(file: &File) -> Result<Case> {
    // ONNX attributes are float32.
    let momentum = file.number::<f32>("momentum")?;
    let (mut case, batch) =
        Case::new(file, Format::Onnx, file.number::<f32>("epsilon")?.into(), Some(momentum.into()))?;
    let per_feature = [case.features];
    case.weight = Some(file.float32("s", &per_feature)?);
    case.bias = Some(file.float32("bias", &per_feature)?);
    let buffers = Buffers {
        mean: file.float32("mean", &per_feature)?,
        var: file.float32("var", &per_feature)?,
        batches: 0,
    };
    let (shape, view) = (case.shape(batch), case.view(batch));
    let input = Input { batch, x: file.float32("x", &shape)?, dy: None };

    let mut running = Running::new(&buffers);
    let y = match file.number::<u32>("training_mode")? {
        0 => {
            let y = normalize(&case, &input.x, view, &running.mean, &running.var);
            case.evaluation = Some(input);
            y
        }
        1 => {
            let statistics = Statistics::of(&input.x, view);
            let y = normalize(&case, &input.x, view, &statistics.mean, &statistics.var);
            running.update(&statistics, view.count(), &case);
            let per_feature = |values| Tensor { shape: vec![case.features], dtype: Dtype::F64, values };
            case.truth.insert("output_mean".into(), per_feature(running.mean));
            case.truth.insert("output_var".into(), per_feature(running.var));
            case.steps.push(input);
            y
        }
        mode => return Err(format!("training_mode: required 0 or 1, given {mode}")),
    };
    case.truth.insert("y".into(), Tensor { shape, dtype: Dtype::F64, values: y });
    case.buffers = Some(buffers);
    for name in ["y", "output_mean", "output_var"] {
        if file.has(name) {
            case.stored.insert(name.into(), file.tensor(name)?);
        }
    }
    Ok(case)
}

/// A safetensors file, with errors that name the entry.
struct File<'a> {
    tensors: SafeTensors<'a>,
    metadata: BTreeMap<String, String>,
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<File<'a>> {
        let damaged = |error| format!("not a safetensors file, or a damaged one: {error}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        Ok(File { tensors, metadata: header.metadata().clone().unwrap_or_default().into_iter().collect() })
    }

    fn text(&self, key: &str) -> Result<&str> {
        self.metadata.get(key).map(String::as_str).ok_or_else(|| format!("metadata {key} is missing"))
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|_| format!("metadata {key}: required a {}, given {text}", std::any::type_name::<T>()))
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let view = self.tensors.tensor(name).map_err(|_| format!("tensor {name} is missing"))?;
        Ok(view.shape().to_vec())
    }

    fn float32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let given = self.shape(name)?;
        let view = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        if view.dtype() != Dtype::F32 || given != shape {
            return Err(format!("tensor {name}: required F32 {shape:?}, given {:?} {given:?}", view.dtype()));
        }
        Ok(elements(view.data(), f32::from_le_bytes))
    }

    fn int64(&self, name: &str) -> Result<Vec<i64>> {
        self.shape(name)?;
        let view = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        match view.dtype() {
            Dtype::I64 => Ok(elements(view.data(), i64::from_le_bytes)),
            other => Err(format!("tensor {name}: required I64, given {other:?}")),
        }
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        let shape = self.shape(name)?;
        let view = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        let values = match view.dtype() {
            Dtype::F32 => elements(view.data(), |b| f32::from_le_bytes(b).into()),
            Dtype::F64 => elements(view.data(), f64::from_le_bytes),
            Dtype::I64 => elements(view.data(), |b| i64::from_le_bytes(b) as f64),
            other => return Err(format!("tensor {name}: required F32, F64 or I64, given {other:?}")),
        };
        Ok(Tensor { shape, dtype: view.dtype(), values })
    }
}

/// The little-endian numbers of `N` bytes each in `data`.
fn elements<const N: usize, T>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).filter_map(|chunk| chunk.first_chunk()).map(|&bytes| number(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::results::encode;
    use super::*;

    type Tensors = BTreeMap<String, Tensor>;
    type Metadata = BTreeMap<String, String>;

    /// A reference file, changed.
    fn changed(name: &str, change: impl Fn(&mut Tensors, &mut Metadata)) -> Result<Case> {
        let path = format!("{}/tests/data/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let file = File::open(&bytes)?;
        let mut tensors = Tensors::new();
        for name in file.tensors.names() {
            tensors.insert(name.into(), file.tensor(name)?);
        }
        let mut metadata = file.metadata.clone();
        change(&mut tensors, &mut metadata);
        Case::read(&encode(&tensors, &metadata)?)
    }

    fn error(name: &str, change: impl Fn(&mut Tensors, &mut Metadata)) -> String {
        changed(name, change).err().unwrap_or_default()
    }

    #[test]
    fn every_layout_and_option_is_read() -> Result<()> {
        let case = changed("pytorch-extra/ndhwc_2x3x5x4x3_mnone", |_, _| {})?;
        assert_eq!((case.features, &case.positions[..], case.momentum), (3, &[3, 5, 4][..], None));
        assert_eq!(case.view(2), View { outer: 120, features: 3, inner: 1 });
        assert_eq!(case.shape(4), [4, 3, 5, 4, 3]);
        assert_eq!(case.buffers.as_ref().map(|buffers| buffers.batches), Some(3));

        let case = changed("pytorch/steps5_nchw_mnone", |_, _| {})?;
        let batches: Vec<usize> = case.steps.iter().map(|input| input.batch).collect();
        assert_eq!((&batches[..], case.suffix(3).as_str()), (&[2, 4, 1, 3, 2][..], ".3"));
        assert_eq!(case.view(3), View { outer: 3, features: 4, inner: 15 });
        assert_eq!(case.truth["dx.2"].shape, [1, 4, 3, 5]);

        let case = changed("pytorch/nc_64x3_noaffine_notrack", |_, _| {})?;
        assert!(case.weight.is_none() && case.buffers.is_none() && !case.truth.contains_key("dweight"));

        let case = changed("onnx/test_batchnorm_epsilon_training_mode", |_, _| {})?;
        assert_eq!((case.format, case.steps.len(), case.evaluation.is_some()), (Format::Onnx, 1, false));
        assert!(case.truth.contains_key("output_var") && case.stored.contains_key("output_var"));
        Ok(())
    }

    #[test]
    fn onnx_truth_agrees_with_what_is_stored() -> Result<()> {
        let case = changed("onnx/test_batchnorm_example_training_mode", |_, _| {})?;
        for (name, stored) in &case.stored {
            for (a, b) in case.truth[name].values.iter().zip(&stored.values) {
                assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_formula_that_was_not_replayed_exactly_is_an_error() {
        let name = "pytorch-extra/nhwc_9x40x41x33_sampled";
        let message = error(name, |_, metadata| {
            metadata.insert("checksum_dy".into(), "12".into());
        });
        assert!(message.starts_with("checksum of dy: required 12 by the file, given "), "{message}");
        let message = error(name, |_, metadata| {
            metadata.insert("seed_xe".into(), "1".into());
        });
        assert!(message.starts_with("checksum of xe: "), "{message}");
        let message = error(name, |tensors, _| {
            if let Some(index) = tensors.get_mut("sample_index") {
                index.values[5] = 487_080.0;
            }
        });
        assert_eq!(message, "sample_index: required indices below 487080, given 487080");
    }

    #[test]
    fn inputs_that_are_missing_are_named() -> Result<()> {
        let case = changed("pytorch/steps5_nc", |tensors, _| {
            tensors.remove("dy.1");
            tensors.remove("xe");
        })?;
        let skipped: Vec<&str> = case.skipped.iter().map(|(name, _)| &**name).collect();
        assert_eq!(
            skipped,
            ["dx.1", "dweight.1", "dbias.1", "y_eval", "eval_dx", "eval_dweight", "eval_dbias"]
        );
        assert_eq!(case.skipped[0].1, "the file has no dy.1");
        for name in ["x", "weight", "running_var_in", "num_batches_tracked_in"] {
            let message = error("pytorch/nc_3x3", |tensors, _| {
                tensors.remove(name);
            });
            assert_eq!(message, format!("tensor {name} is missing"));
        }
        Ok(())
    }

    #[test]
    fn bad_metadata_is_an_error_that_names_it() {
        let with = |key: &str, value: &str| {
            error("pytorch/nchw_2x3x5x7", |_, metadata| {
                metadata.insert(key.into(), value.into());
            })
        };
        assert_eq!(with("format_version", "2"), "format_version: required 1, given 2");
        assert_eq!(with("features", "4"), "features: required 3 by the shape, given 4");
        assert_eq!(with("shape", "2,3,5"), "shape: required 4 axes for layout nchw, given 2,3,5");
        assert_eq!(with("shape", "2,3,5,-7"), "shape: required sizes between commas, given 2,3,5,-7");
        assert_eq!(with("shape", "2,3,5,0"), "shape: required 1 to 2147483648 values, given [2, 3, 5, 0]");
        assert_eq!(with("eps", "small"), "metadata eps: required a f64, given small");
        assert_eq!(with("affine", "yes"), "metadata affine: required a bool, given yes");
        assert_eq!(with("steps", "2"), "tensor x.0 is missing");
        assert_eq!(with("storage", "half"), "storage: required full or sampled, given half");
        assert!(with("layout", "cnhw").contains("given cnhw"));
        assert!(
            with("shape", "2,3,5,8")
                .starts_with("tensor x: required F32 [2, 3, 5, 8], given F32 [2, 3, 5, 7]")
        );
        let huge = format!("{0},{0},{0},{0}", usize::MAX);
        assert!(with("shape", &huge).contains("given [18446744073709551615, "));
        let unknown = error("pytorch/nc_3x3", |_, metadata| metadata.clear());
        assert!(unknown.starts_with("unknown kind of file"), "{unknown}");
    }

    #[test]
    fn damaged_files_are_errors() -> Result<()> {
        let path = format!("{}/tests/data/pytorch/nc_3x3.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        for length in [0, 7, 8, 100, bytes.len() - 1] {
            let message = Case::read(&bytes[..length]).err().unwrap_or_default();
            assert!(message.starts_with("not a safetensors file"), "{length}: {message}");
        }
        assert!(Case::read(&[255; 64]).is_err());
        let message = error("pytorch/nc_3x3", |tensors, _| {
            if let Some(x) = tensors.get_mut("x") {
                x.dtype = Dtype::F64;
            }
        });
        assert_eq!(message, "tensor x: required F32 [3, 3], given F64 [3, 3]");
        Ok(())
    }
}
