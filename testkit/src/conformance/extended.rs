//! Cases of 16-bit storage, epilogues, masks and parts, as tests/data/scripts/gen_extended.py describes them.

use wgpu_batchnorm::{Activation, Epilogue, StorageType};

use super::case::{Case, Input};
use super::file::File;
use super::pytorch;
use super::tensor::Result;

/// Reads the layer, its inputs and the truth.
pub fn read(file: &File) -> Result<Case> {
    let format = file.text("format")?;
    if format != "2" {
        return Err(format!("format: required 2, given {format}"));
    }
    let (mut case, batch) = pytorch::layer(file, &file.shape("x")?)?;
    case.storage = storage(file.text("dtype")?)?;
    case.epilogue = epilogue(file.text("epilogue")?)?;
    let step =
        Input { valid: mask(file, &case, batch)?, parts: parts(file, batch)?, ..input(file, &case, "")? };
    case.steps.push(step);
    case.evaluation = Some(input(file, &case, "e")?);
    pytorch::truth(file, &mut case)?;
    Ok(case)
}

fn storage(dtype: &str) -> Result<StorageType> {
    Ok(match dtype {
        "f32" => StorageType::Float32,
        "f16" => StorageType::Float16,
        "bf16" => StorageType::BFloat16,
        _ => return Err(format!("dtype: required f32, f16 or bf16, given {dtype}")),
    })
}

fn epilogue(name: &str) -> Result<Epilogue> {
    let (activation, residual) = match name {
        "none" => (Activation::Identity, false),
        "relu" => (Activation::Relu, false),
        "add_relu" => (Activation::Relu, true),
        _ => return Err(format!("epilogue: required none, relu or add_relu, given {name}")),
    };
    let mut epilogue = Epilogue::default();
    (epilogue.activation, epilogue.residual) = (activation, residual);
    Ok(epilogue)
}

/// The tensors x, dy and z (`kind` empty), or xe, dye and ze (`kind` e).
fn input(file: &File, case: &Case, kind: &str) -> Result<Input> {
    let batch = *file.shape(&format!("x{kind}"))?.first().unwrap_or(&0);
    case.len(batch)?;
    let shape = case.shape(batch);
    let tensor = |name: &str| file.stored(&format!("{name}{kind}"), &shape, case.storage);
    let mut input = Input::new(batch, tensor("x")?, Some(tensor("dy")?));
    if case.epilogue.residual {
        input.z = Some(tensor("z")?);
    }
    Ok(input)
}

fn mask(file: &File, case: &Case, batch: usize) -> Result<Option<Vec<bool>>> {
    if !file.has("mask") {
        return Ok(None);
    }
    let shape = [batch, case.positions.iter().product()];
    let flags = file.bytes("mask", &shape)?;
    match flags.iter().find(|&&flag| flag > 1) {
        Some(flag) => Err(format!("mask: required 0 and 1, given {flag}")),
        None => Ok(Some(flags.iter().map(|&flag| flag == 1).collect())),
    }
}

fn parts(file: &File, batch: usize) -> Result<Vec<usize>> {
    let text = file.text("parts")?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Option<Vec<usize>> = text.split(',').map(|part| part.parse().ok()).collect();
    let sum = |parts: &Vec<usize>| parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part));
    parts
        .filter(|parts| sum(parts) == Some(batch))
        .ok_or_else(|| format!("parts: required sizes between commas that add up to {batch}, given {text}"))
}
