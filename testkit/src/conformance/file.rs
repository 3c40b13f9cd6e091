//! A safetensors file as the readers of the two formats take it: by name, with errors that tell the name.

use std::collections::BTreeMap;
use std::str::FromStr;

use safetensors::{Dtype, SafeTensors};

use super::case::{Result, Tensor};

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

    pub fn float32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let given = self.shape(name)?;
        let view = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        if view.dtype() != Dtype::F32 || given != shape {
            return Err(format!("tensor {name}: required F32 {shape:?}, given {:?} {given:?}", view.dtype()));
        }
        Ok(elements(view.data(), f32::from_le_bytes))
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
            other => return Err(format!("tensor {name}: required F32, F64 or I64, given {other:?}")),
        };
        Ok(Tensor { shape, dtype: view.dtype(), values })
    }
}

/// The little-endian numbers of `N` bytes each in `data`.
fn elements<const N: usize, T>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).filter_map(|chunk| chunk.first_chunk()).map(|&bytes| number(bytes)).collect()
}
