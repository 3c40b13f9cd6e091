//! ONNX backend tests, as tests/data/scripts/onnx_goldens.py writes them.

use safetensors::Dtype;

use super::case::{Buffers, Case, Format, Input};
use super::file::File;
use super::statistics::{Running, Statistics, normalize};
use super::tensor::{Result, Tensor};

/// ONNX files hold float32 results only, so their truth is computed here.
pub fn read(file: &File) -> Result<Case> {
    // ONNX attributes are float32.
    let momentum = file.number::<f32>("momentum")?;
    let (mut case, batch) = Case::new(
        file,
        Format::Onnx,
        &file.sizes("shape")?,
        file.number::<f32>("epsilon")?.into(),
        Some(momentum.into()),
    )?;
    let per_feature = [case.features];
    case.weight = Some(file.float32("s", &per_feature)?);
    case.bias = Some(file.float32("bias", &per_feature)?);
    let buffers = Buffers {
        mean: file.float32("mean", &per_feature)?,
        var: file.float32("var", &per_feature)?,
        batches: 0,
    };
    let (shape, layout) = (case.shape(batch), case.layout(batch));
    let input = Input::new(batch, file.float32("x", &shape)?, None);

    let mut running = Running::new(&buffers);
    let y = match file.number::<u32>("training_mode")? {
        0 => {
            let y = normalize(&case, &input.x, layout, &running.mean, &running.var);
            case.evaluation = Some(input);
            y
        }
        1 => {
            let statistics = Statistics::of(&input, layout);
            let y = normalize(&case, &input.x, layout, &statistics.mean, &statistics.var);
            running.update(&statistics, &case);
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
