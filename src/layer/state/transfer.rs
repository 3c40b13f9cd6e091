//! Copies of the state to and from the device: explicit, outside the hot path.

use std::future::Future;

use bytemuck::{cast_slice, pod_collect_to_vec};

use super::{NAMED, State};
use crate::kernels::{DeviceError, Readback, alive, checked};
use crate::layer::buffers::Vector;
use crate::layer::{BatchNorm, ReadError, StateError};
use crate::tensor::{Bound, Tensor};

/// Why the states of several layers could not be set: what is wrong with one of them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("layer {layer}: {error}")]
pub struct LayerStateError {
    /// Which of the layers.
    pub layer: usize,
    /// What is wrong.
    pub error: StateError,
}

impl BatchNorm {
    /// Sets weight, bias, running statistics and the count of batches, for all work submitted after this call.
    ///
    /// Uses `Queue::write_buffer`: no wait, a copy through host memory. A count of batches beyond 2³² − 1 becomes that.
    ///
    /// # Errors
    /// [`StateError`], where a vector's length is not the layer's (0 where the layer has no such vector), a variance is
    /// negative or not a number, or a buffer of the caller's cannot be written; nothing has been changed then. Where the
    /// device is out of memory some vectors may have been: set the state again.
    pub fn set_state(&self, queue: &wgpu::Queue, state: &State) -> Result<(), StateError> {
        self.check_state(state)?;
        self.check_device(queue)?;
        Ok(self.write_state(queue, state)?)
    }

    /// Copies the state to the host, as it is after all work submitted before this call; [`read_states`] of one layer.
    ///
    /// # Errors
    /// [`ReadError`], where the device is lost or out of memory, or a buffer of the caller's cannot be read.
    pub fn read_state(&self, queue: &wgpu::Queue) -> impl Future<Output = Result<State, ReadError>> + use<> {
        let states = read_states(queue, &[self]);
        async { Ok(states.await?.remove(0)) }
    }

    fn check_state(&self, state: &State) -> Result<(), StateError> {
        for (vector, (tensor, name)) in self.vectors.all.iter().zip(NAMED) {
            debug_assert_eq!(vector.bound.tensor, tensor, "vectors are in the order of a state's tensors");
            let required = if vector.has { self.features() as usize } else { 0 };
            let given = state.vector(tensor).map_or(required, <[f32]>::len);
            if given != required {
                return Err(StateError::Length { vector: name, required, given });
            }
            if vector.has && !vector.bound.buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
                return Err(StateError::Usage { vector: tensor });
            }
        }
        match state.wrong_variance() {
            Some((index, given)) => Err(StateError::Variance { index, given }),
            None => Ok(()),
        }
    }

    /// That the device is there, and the queue is its.
    fn check_device(&self, queue: &wgpu::Queue) -> Result<(), DeviceError> {
        alive(self.context.device())?;
        self.context.check_queue(queue)
    }

    fn write_state(&self, queue: &wgpu::Queue, state: &State) -> Result<(), DeviceError> {
        let count = u32::try_from(state.num_batches_tracked).unwrap_or(u32::MAX);
        let counts = vec![count; self.features() as usize];
        let write = |vector: &Vector| {
            let Bound { tensor, buffer, offset, .. } = &vector.bound;
            let bytes = state.vector(*tensor).map_or(cast_slice(&counts), cast_slice);
            queue.write_buffer(buffer, *offset, bytes);
        };
        let vectors = self.vectors.all.iter().filter(|vector| vector.has);
        checked(self.context.device(), || vectors.for_each(write))
    }

    /// The vectors that the layer has, with the bytes to read; of the count of batches, which stands once per feature, the
    /// first.
    fn readable(&self) -> impl Iterator<Item = (&Bound, u64)> {
        let bytes = |bound: &Bound| if bound.tensor == Tensor::Batches { 4 } else { bound.bytes };
        let vectors = self.vectors.all.iter().filter(|vector| vector.has);
        vectors.map(move |vector| (&vector.bound, bytes(&vector.bound)))
    }
}

/// Sets the states of several layers, or none of them: [`BatchNorm::set_state`] of each, once all have been checked.
/// Submits nothing and waits for nothing.
///
/// # Errors
/// [`LayerStateError`], where the state of a layer cannot be set; no layer has been changed then. Where the device is out
/// of memory, layers before that one and vectors of it may have been.
pub fn set_states(queue: &wgpu::Queue, states: &[(&BatchNorm, &State)]) -> Result<(), LayerStateError> {
    for (i, (layer, state)) in states.iter().enumerate() {
        let checked = layer.check_state(state).and_then(|()| Ok(layer.check_device(queue)?));
        checked.map_err(|error| LayerStateError { layer: i, error })?;
    }
    for (i, (layer, state)) in states.iter().enumerate() {
        let error = |error: DeviceError| LayerStateError { layer: i, error: error.into() };
        layer.write_state(queue, state).map_err(error)?;
    }
    Ok(())
}

/// Copies the state of several layers of a device to the host, as it is after all work submitted before this call.
///
/// This call submits one copy. On native platforms the future then waits for that copy alone, not for work that was
/// submitted later, so it is ready at once: `pollster::block_on` will do. On the web it yields to the browser until the
/// copy is there.
///
/// # Errors
/// [`ReadError`], where the device is lost or out of memory, or a buffer of a caller's cannot be read.
pub fn read_states(
    queue: &wgpu::Queue,
    layers: &[&BatchNorm],
) -> impl Future<Output = Result<Vec<State>, ReadError>> + use<> {
    let vectors = layers.iter().flat_map(|layer| layer.readable()).collect();
    let copy = layers.first().map(|first| submit_copy(first, queue, vectors)).transpose();
    let parts_of =
        |layer: &&BatchNorm| layer.readable().map(|(bound, bytes)| (bound.tensor, bytes)).collect();
    // The vectors of each layer, one after the other, with their bytes.
    let parts: Vec<Vec<(Tensor, u64)>> = layers.iter().map(parts_of).collect();
    async {
        let Some(copy) = copy? else { return Ok(Vec::new()) };
        let bytes = copy.read().await?;
        let mut next = 0;
        let mut state = |parts: Vec<(Tensor, u64)>| {
            let mut state = State::default();
            for (tensor, size) in parts {
                let taken = &bytes[next..next + size as usize];
                next += size as usize;
                match state.vector_mut(tensor) {
                    Some(values) => *values = pod_collect_to_vec(taken),
                    None => state.num_batches_tracked = bytemuck::pod_read_unaligned::<u32>(taken).into(),
                }
            }
            state
        };
        Ok(parts.into_iter().map(&mut state).collect())
    }
}

/// Copies so many bytes of each vector; `layer` is of their device.
pub(in crate::layer) fn submit_copy(
    layer: &BatchNorm,
    queue: &wgpu::Queue,
    vectors: Vec<(&Bound, u64)>,
) -> Result<Readback, ReadError> {
    let unreadable =
        |(bound, _): &&(&Bound, u64)| !bound.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC);
    if let Some((bound, _)) = vectors.iter().find(unreadable) {
        return Err(ReadError::Usage { vector: bound.tensor });
    }
    layer.context.check_queue(queue)?;
    let ranges: Vec<_> =
        vectors.into_iter().map(|(bound, bytes)| (&bound.buffer, bound.offset, bytes)).collect();
    Ok(Readback::submit(layer.context.device(), queue, layer.label.as_deref(), &ranges)?)
}
