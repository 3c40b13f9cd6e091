//! A safetensors file as the readers of the formats take it: by name, with errors that tell the name.

use std::collections::BTreeMap;
use std::str::FromStr;

use safetensors::{Dtype, SafeTensors};
use wgpu_batchnorm::StorageType;

use super::tensor::{Result, Tensor};
use crate::storage;

/// An open file.
pub struct File<'a> {
    pub tensors: SafeTensors<'a>,
    pub metadata: BTreeMap<String, String>,
}

impl<'a> File<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<File<'a>> {
        let damaged = |error| format!("not a safetensors file, or a damaged one: {error}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        Ok(File { tensors, metadata: header.metadata().clone().unwrap_or_default().into_iter().collect() })
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        self.metadata.get(key).map(String::as_str).ok_or_else(|| format!("metadata {key} is missing"))
    }

    pub fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|_| format!("metadata {key}: required a {}, given {text}", std::any::type_name::<T>()))
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let view = self.tensors.tensor(name).map_err(|_| format!("tensor {name} is missing"))?;
        Ok(view.shape().to_vec())
    }

    /// A tensor's sizes in metadata.
    pub fn sizes(&self, key: &str) -> Result<Vec<usize>> {
        let text = self.text(key)?;
        let sizes: Option<Vec<usize>> = text.split(',').map(|size| size.parse().ok()).collect();
        sizes.ok_or_else(|| format!("{key}: required sizes between commas, given {text}"))
    }

    pub fn float32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.stored(name, shape, StorageType::Float32)
    }

    /// A tensor of this storage type, widened to float32.
    pub fn stored(&self, name: &str, shape: &[usize], storage: StorageType) -> Result<Vec<f32>> {
        Ok(storage::decode(self.data(name, shape, dtype(storage))?, storage))
    }

    /// A tensor of bytes.
    pub fn bytes(&self, name: &str, shape: &[usize]) -> Result<&'a [u8]> {
        self.data(name, shape, Dtype::U8)
    }

    fn data(&self, name: &str, shape: &[usize], dtype: Dtype) -> Result<&'a [u8]> {
        let given = self.shape(name)?;
        let view = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        if view.dtype() != dtype || given != shape {
            let type_given = view.dtype();
            return Err(format!(
                "tensor {name}: required {dtype:?} {shape:?}, given {type_given:?} {given:?}"
            ));
        }
        Ok(view.data())
    }

    pub fn int64(&self, name: &str) -> Result<Vec<i64>> {
        self.shape(name)?;
        let view = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        match view.dtype() {
            Dtype::I64 => Ok(elements(view.data(), i64::from_le_bytes)),
            other => Err(format!("tensor {name}: required I64, given {other:?}")),
        }
    }

    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let shape = self.shape(name)?;
        let view = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        let values = match view.dtype() {
            Dtype::F32 => elements(view.data(), |b| f32::from_le_bytes(b).into()),
            Dtype::F64 => elements(view.data(), f64::from_le_bytes),
            Dtype::I64 => elements(view.data(), |b| i64::from_le_bytes(b) as f64),
            Dtype::F16 => widened(view.data(), StorageType::Float16),
            Dtype::BF16 => widened(view.data(), StorageType::BFloat16),
            Dtype::U8 => view.data().iter().map(|&byte| byte.into()).collect(),
            other => {
                return Err(format!(
                    "tensor {name}: required F32, F16, BF16, F64, I64 or U8, given {other:?}"
                ));
            }
        };
        Ok(Tensor { shape, dtype: view.dtype(), values })
    }
}

/// The type of a tensor in a file.
pub fn dtype(storage: StorageType) -> Dtype {
    match storage {
        StorageType::Float16 => Dtype::F16,
        StorageType::BFloat16 => Dtype::BF16,
        _ => Dtype::F32,
    }
}

fn widened(data: &[u8], storage: StorageType) -> Vec<f64> {
    storage::decode(data, storage).into_iter().map(f64::from).collect()
}

/// The little-endian numbers of `N` bytes each in `data`.
fn elements<const N: usize, T>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).filter_map(|chunk| chunk.first_chunk()).map(|&bytes| number(bytes)).collect()
}
