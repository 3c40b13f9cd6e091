//! PyTorch cases, as tests/data/scripts/gen_goldens.py describes them.

use safetensors::Dtype;

use super::case::{Buffers, Case, Format, Input, Sampling};
use super::file::File;
use super::formula;
use super::tensor::Result;

/// Reads the layer, its inputs and the truth.
pub fn read(file: &File) -> Result<Case> {
    let version = file.text("format_version")?;
    if version != "1" {
        return Err(format!("format_version: required 1, given {version}"));
    }
    let (mut case, batch) = layer(file, &file.sizes("shape")?)?;
    let steps: usize = file.number("steps")?;
    match file.text("storage")? {
        "full" => stored_inputs(file, &mut case, steps)?,
        "sampled" if steps == 1 => sampled_inputs(file, &mut case, batch)?,
        "sampled" => return Err(format!("steps: required 1 for sampled storage, given {steps}")),
        other => return Err(format!("storage: required full or sampled, given {other}")),
    }
    if case.evaluation.is_none() {
        case.skipped.push(("y_eval".into(), "the file has no xe".into()));
        case.skip_gradients("eval_", "", "xe");
    }
    truth(file, &mut case)?;
    Ok(case)
}

/// Takes in the results of a file.
pub fn truth(file: &File, case: &mut Case) -> Result<()> {
    for name in file.tensors.names() {
        let tensor = file.tensor(name)?;
        if tensor.dtype == Dtype::F64 || name.starts_with("num_batches_tracked") && !name.ends_with("_in") {
            case.truth.insert(name.replacen("64", "", 1), tensor);
        }
    }
    Ok(())
}

/// A case with the layer's constants and vectors, and the batch size of its first step, whose x has this shape.
pub fn layer(file: &File, shape: &[usize]) -> Result<(Case, usize)> {
    let momentum = match file.text("momentum")? {
        "none" => None,
        _ => Some(file.number("momentum")?),
    };
    let (mut case, batch) = Case::new(file, Format::PyTorch, shape, file.number("eps")?, momentum)?;
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
            batches: (batches.first().and_then(|&count| u32::try_from(count).ok()).map(u64::from))
                .ok_or_else(|| {
                    format!("num_batches_tracked_in: required 0 to {}, given {batches:?}", u32::MAX)
                })?,
        });
    }
    Ok((case, batch))
}

/// The inputs of a file that stores them.
fn stored_inputs(file: &File, case: &mut Case, steps: usize) -> Result<()> {
    for k in 0..steps {
        let suffix = if steps > 1 { format!(".{k}") } else { String::new() };
        let input = stored_input(file, case, "", &suffix)?;
        case.steps.push(input);
    }
    if file.has("xe") {
        case.evaluation = Some(stored_input(file, case, "e", "")?);
    }
    Ok(())
}

/// The tensors x and dy (`kind` empty) or xe and dye (`kind` e) of a file that stores them.
fn stored_input(file: &File, case: &mut Case, kind: &str, suffix: &str) -> Result<Input> {
    let batch = *file.shape(&format!("x{kind}{suffix}"))?.first().unwrap_or(&0);
    case.len(batch)?;
    let shape = case.shape(batch);
    let x = file.float32(&format!("x{kind}{suffix}"), &shape)?;
    let dy = format!("dy{kind}{suffix}");
    if file.has(&dy) {
        return Ok(Input::new(batch, x, Some(file.float32(&dy, &shape)?)));
    }
    let prefix = if kind.is_empty() { "" } else { "eval_" };
    case.skip_gradients(prefix, suffix, &dy);
    Ok(Input::new(batch, x, None))
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
        let (len, layout) = (case.len(batch)?, case.layout(batch));
        let x = checked(&x, formula::input(seed(&x)?, len, |i| layout.feature(i)))?;
        let dy = checked(&dy, formula::uniform(seed(&dy)?, len))?;
        Ok(Input::new(batch, x, Some(dy)))
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
