//! The layer that a case is of, as the crate takes it.

use wgpu_batchnorm::{BatchNormDescriptor, Convention, Shape, State};

use super::case::{Case, Format};
use super::tensor::Result;

pub fn descriptor(case: &Case) -> Result<BatchNormDescriptor<'_>> {
    Ok(BatchNormDescriptor {
        label: Some(&case.name),
        features: size(case.features)?,
        eps: case.eps as f32,
        momentum: case.momentum.map(|momentum| momentum as f32),
        weight: case.weight.is_some(),
        bias: case.bias.is_some(),
        track_running_stats: case.buffers.is_some(),
        convention: match case.format {
            Format::PyTorch => Convention::PyTorch,
            Format::Onnx => Convention::Onnx,
        },
    })
}

/// A layer that remembers nothing but its last batch: its running statistics are the batch's mean and biased variance.
pub fn of_batch(case: &Case) -> Result<BatchNormDescriptor<'_>> {
    Ok(BatchNormDescriptor {
        momentum: Some(1.0),
        weight: false,
        bias: false,
        track_running_stats: true,
        convention: Convention::Burn,
        ..descriptor(case)?
    })
}

/// The state before the first step.
pub fn state(case: &Case) -> State {
    let mut state = State {
        weight: case.weight.clone().unwrap_or_default(),
        bias: case.bias.clone().unwrap_or_default(),
        ..State::default()
    };
    if let Some(buffers) = &case.buffers {
        state.running_mean.clone_from(&buffers.mean);
        state.running_var.clone_from(&buffers.var);
        state.num_batches_tracked = buffers.batches;
    }
    state
}

pub fn shape(case: &Case, batch: usize) -> Result<Shape> {
    let spatial = case.positions.iter().map(|&axis| size(axis)).collect::<Result<Vec<_>>>()?;
    let (batch, features) = (size(batch)?, size(case.features)?);
    Ok(match case.features_last {
        true => Shape::channels_last(batch, &spatial, features),
        false => Shape::channels_first(batch, features, &spatial),
    })
}

fn size(axis: usize) -> Result<u32> {
    u32::try_from(axis).map_err(|_| format!("shape: required axes up to {}, given {axis}", u32::MAX))
}
