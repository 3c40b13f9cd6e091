//! The safetensors file that results are written to.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use serde_json::Value;
use wgpu_batchnorm::StorageType;

use super::tensor::{Result, Tensor};
use crate::storage;

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
    let stored = |storage| storage::encode(&values.clone().map(|&v| v as f32).collect::<Vec<_>>(), storage);
    match tensor.dtype {
        Dtype::F32 => stored(StorageType::Float32),
        Dtype::F16 => stored(StorageType::Float16),
        Dtype::BF16 => stored(StorageType::BFloat16),
        Dtype::U8 => values.map(|&v| v as u8).collect(),
        Dtype::I64 => values.flat_map(|&v| (v as i64).to_le_bytes()).collect(),
        _ => values.flat_map(|v| v.to_le_bytes()).collect(),
    }
}
