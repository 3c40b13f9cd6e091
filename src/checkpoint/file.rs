use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::{LoadError, header};
use crate::layer::{
    BatchNorm, BatchNormDescriptor, NAMED, Names, State, StateTensor, TensorError, set_states,
};
use crate::tensor::Tensor;

/// An open safetensors file. Its header has been checked; tensors are read when they are asked for. Tensors of other
/// layers in the file do no harm.
///
/// float32, float16, bfloat16 and float64 are accepted for vectors; a float64 is rounded to float32.
#[derive(Debug, Clone)]
pub struct Checkpoint<'a> {
    tensors: BTreeMap<String, TensorInfo>,
    data: &'a [u8],
}

const FLOATS: &str = "F32, F16, BF16 or F64";

impl<'a> Checkpoint<'a> {
    /// Opens a file that is in memory, or mapped into it.
    ///
    /// # Errors
    /// [`LoadError`] with the tensor's name, where the file is truncated, or its header is not what the format asks for.
    pub fn open(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let (tensors, data) = header::parse(bytes)?;
        Ok(Self { tensors, data })
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The prefixes of all layers with running statistics, sorted: what has a tensor called like a running mean.
    pub fn prefixes(&self, names: &Names<'_>) -> Vec<&str> {
        self.names().filter_map(|name| names.prefix(name, Tensor::RunningMean)).collect()
    }

    /// A tensor's shape, where there is such a tensor.
    pub fn shape(&self, tensor: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(tensor)?.shape)
    }

    /// A tensor as float32, such as the weight of a convolution that a batch norm is folded into.
    ///
    /// # Errors
    /// [`LoadError`], where it is missing, or of another shape or type, or has a float64 too large for float32.
    pub fn values(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let Some(info) = self.tensors.get(tensor) else {
            return Err(TensorError::Missing { tensor: tensor.to_owned() }.into());
        };
        self.check_shape(tensor, &[shape])?;
        let data = self.bytes(info);
        Ok(match info.dtype {
            Dtype::F32 => numbers(data, f32::from_le_bytes),
            Dtype::F16 => numbers(data, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => numbers(data, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F64 => {
                let values = numbers(data, f64::from_le_bytes);
                let beyond = |value: &f64| value.is_finite() && (*value as f32).is_infinite();
                if let Some(index) = values.iter().position(beyond) {
                    let (tensor, given) = (tensor.to_owned(), values[index]);
                    return Err(LoadError::Range { tensor, index, given });
                }
                values.iter().map(|value| *value as f32).collect()
            }
            given => return Err(LoadError::Dtype { tensor: tensor.to_owned(), required: FLOATS, given }),
        })
    }

    /// The state of the layer with this prefix (which may be empty), with the tensors that the file has of it.
    ///
    /// # Errors
    /// [`LoadError`] with the tensor's name: where the file has none of the layer's tensors, a shape is not that of a
    /// vector, vectors differ in length, one of the running statistics is there without the other or a count without them, a
    /// variance is negative or not a number, or a type cannot be read.
    pub fn state(&self, names: &Names<'_>, prefix: &str) -> Result<State, LoadError> {
        let name = |tensor| names.name(prefix, tensor).unwrap_or_else(|| format!("{tensor} of {prefix}"));
        let mut tensors = Vec::new();
        for (tensor, _) in NAMED {
            let Some(full) = names.name(prefix, tensor).filter(|full| self.tensors.contains_key(full)) else {
                continue;
            };
            let values = match tensor {
                Tensor::Batches => StateTensor::Count(self.count(&full)?),
                _ => self.values(&full, &[self.length(&full)])?.into(),
            };
            tensors.push((tensor, values));
        }
        if tensors.is_empty() {
            return Err(TensorError::Missing { tensor: name(Tensor::Weight) }.into());
        }
        Ok(State::assemble(tensors, name)?)
    }

    /// Sets the states of layers, each with its prefix, or of none where anything is wrong. Submits nothing and waits for
    /// nothing; all work that is submitted later sees the new states. Layers may share a prefix.
    ///
    /// The count of batches is 0 where the file has none.
    ///
    /// # Errors
    /// [`LoadError`] with the tensor's name, as [`state`](Self::state) has it; also where a tensor is missing that the
    /// layer has, or there that it was made without, or does not have the layer's features. No layer has been changed then.
    pub fn load(
        &self,
        queue: &wgpu::Queue,
        names: &Names<'_>,
        layers: &[(&str, &BatchNorm)],
    ) -> Result<(), LoadError> {
        let state = |(prefix, layer): &(&str, &BatchNorm)| {
            self.check(names, prefix, layer.descriptor())?;
            self.state(names, prefix)
        };
        let states = layers.iter().map(state).collect::<Result<Vec<_>, _>>()?;
        let pairs: Vec<_> = layers.iter().map(|(_, layer)| *layer).zip(&states).collect();
        Ok(set_states(queue, &pairs)?)
    }

    /// Whether the file has what such a layer has, and no more.
    fn check(
        &self,
        names: &Names<'_>,
        prefix: &str,
        layer: &BatchNormDescriptor<'_>,
    ) -> Result<(), LoadError> {
        for (part, _) in NAMED {
            let Some(tensor) = names.name(prefix, part) else { continue };
            let has = match part {
                Tensor::Weight => layer.weight,
                Tensor::Bias => layer.bias,
                _ => layer.track_running_stats,
            };
            match (has, self.tensors.contains_key(&tensor), part) {
                (true, true, Tensor::Batches) | (false, false, _) => {}
                (true, true, _) => self.check_shape(&tensor, &[&[layer.features as usize]])?,
                // PyTorch before 0.4.1 did not count.
                (true, false, Tensor::Batches) => {}
                (true, false, _) => return Err(TensorError::Missing { tensor }.into()),
                (false, true, _) => return Err(LoadError::Unexpected { tensor }),
            }
        }
        Ok(())
    }

    fn count(&self, tensor: &str) -> Result<i64, LoadError> {
        self.check_shape(tensor, &[&[], &[1]])?;
        let info = &self.tensors[tensor];
        match (info.dtype, self.bytes(info).first_chunk()) {
            (Dtype::I64, Some(bytes)) => Ok(i64::from_le_bytes(*bytes)),
            (given, _) => Err(LoadError::Dtype { tensor: tensor.to_owned(), required: "I64", given }),
        }
    }

    /// Refuses another shape than one of these. The error names the first.
    fn check_shape(&self, tensor: &str, allowed: &[&[usize]]) -> Result<(), LoadError> {
        let given = &self.tensors[tensor].shape;
        if allowed.contains(&given.as_slice()) {
            return Ok(());
        }
        let (tensor, required) = (tensor.to_owned(), allowed[0].to_vec());
        Err(LoadError::Shape { tensor, required, given: given.clone() })
    }

    /// Values of a tensor, as a vector has them.
    fn length(&self, tensor: &str) -> usize {
        // The header's check has formed this product.
        self.tensors[tensor].shape.iter().product()
    }

    fn bytes(&self, info: &TensorInfo) -> &'a [u8] {
        let (start, end) = info.data_offsets;
        &self.data[start..end]
    }
}

/// The numbers of `N` bytes each in `data`.
fn numbers<const N: usize, T>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).filter_map(|chunk| chunk.first_chunk()).map(|bytes| number(*bytes)).collect()
}
