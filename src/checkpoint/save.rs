use std::collections::BTreeMap;
use std::future::Future;

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};

use super::SaveError;
use crate::layer::{BatchNorm, NAMED, Names, State, StateTensor, read_states};

/// The states of layers of a device as a safetensors file, each under its prefix: float32 vectors, and the count of
/// batches as a scalar int64 where the names have one. `others` are tensors of the caller's for the same file.
///
/// This call submits one copy for all layers, and the future waits for that copy alone; see [`read_states`]. Python reads
/// the file with `safetensors.torch.load_file`.
///
/// # Errors
/// [`SaveError`], where a layer cannot be read, two tensors would have the same name, or a tensor of `others` is invalid.
pub fn save(
    queue: &wgpu::Queue,
    names: &Names<'_>,
    layers: &[(&str, &BatchNorm)],
    others: &[(&str, TensorView<'_>)],
) -> impl Future<Output = Result<Vec<u8>, SaveError>> {
    let (prefixes, norms): (Vec<_>, Vec<_>) = layers.iter().copied().unzip();
    let states = read_states(queue, &norms);
    async move {
        let states = states.await?;
        let pairs: Vec<_> = prefixes.into_iter().zip(&states).collect();
        encode(names, &pairs, others)
    }
}

/// States as a safetensors file, each under its prefix (which may be empty); see [`save`]. The same content gives the same
/// bytes.
///
/// # Errors
/// [`SaveError`], where two tensors would have the same name, or a tensor of `others` is invalid.
pub fn encode(
    names: &Names<'_>,
    states: &[(&str, &State)],
    others: &[(&str, TensorView<'_>)],
) -> Result<Vec<u8>, SaveError> {
    let mut tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    let mut insert = |name: String, tensor| match tensors.insert(name.clone(), tensor) {
        Some(_) => Err(SaveError::Duplicate { tensor: name }),
        None => Ok(()),
    };
    for (prefix, state) in states {
        for (part, _) in NAMED {
            if let (Some(name), Some(tensor)) = (names.name(prefix, part), state.tensor(part)) {
                insert(name, stored(&tensor))?;
            }
        }
    }
    for (name, view) in others {
        insert((*name).to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))?;
    }
    let invalid = |error: safetensors::SafeTensorError| SaveError::Format(error.to_string());
    let view = |(name, (dtype, shape, data))| Ok((name, TensorView::new(dtype, shape, data)?));
    let borrowed =
        tensors.iter().map(|(name, (dtype, shape, data))| (name, (*dtype, shape.clone(), &**data)));
    let views = borrowed.map(view).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    serialize(views, None).map_err(invalid)
}

fn stored(tensor: &StateTensor<'_>) -> (Dtype, Vec<usize>, Vec<u8>) {
    let (dtype, data) = match tensor {
        StateTensor::Vector(values) => {
            (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        StateTensor::Count(count) => (Dtype::I64, count.to_le_bytes().to_vec()),
    };
    (dtype, tensor.shape(), data)
}
