//! Copies of the state to and from the device: explicit, outside the hot path.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use bytemuck::{cast_slice, pod_collect_to_vec};

use super::{NAMED, State};
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
    /// negative or not a number, or a buffer of the caller's cannot be written; nothing has been changed then.
    pub fn set_state(&self, queue: &wgpu::Queue, state: &State) -> Result<(), StateError> {
        self.check_state(state)?;
        self.write_state(queue, state);
        Ok(())
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

    fn write_state(&self, queue: &wgpu::Queue, state: &State) {
        let count = u32::try_from(state.num_batches_tracked).unwrap_or(u32::MAX);
        let counts = vec![count; self.features() as usize];
        for vector in self.vectors.all.iter().filter(|vector| vector.has) {
            let Bound { tensor, buffer, offset, .. } = &vector.bound;
            let bytes = state.vector(*tensor).map_or(cast_slice(&counts), cast_slice);
            queue.write_buffer(buffer, *offset, bytes);
        }
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
/// [`LayerStateError`], where the state of a layer cannot be set; no layer has been changed then.
pub fn set_states(queue: &wgpu::Queue, states: &[(&BatchNorm, &State)]) -> Result<(), LayerStateError> {
    for (i, (layer, state)) in states.iter().enumerate() {
        layer.check_state(state).map_err(|error| LayerStateError { layer: i, error })?;
    }
    states.iter().for_each(|(layer, state)| layer.write_state(queue, state));
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

/// A copy of vectors on its way to the host.
pub(in crate::layer) struct Copy {
    device: wgpu::Device,
    submission: wgpu::SubmissionIndex,
    staging: wgpu::Buffer,
}

impl Copy {
    /// The vectors, one after the other.
    pub async fn read(self) -> Result<Vec<u8>, ReadError> {
        mapped(&self.device, self.submission, &self.staging).await?;
        let bytes =
            self.staging.get_mapped_range(..).map_err(|error| ReadError::Device(error.to_string()))?;
        Ok(bytes.to_vec())
    }
}

/// Copies so many bytes of each vector; `layer` is of their device.
pub(in crate::layer) fn submit_copy(
    layer: &BatchNorm,
    queue: &wgpu::Queue,
    vectors: Vec<(&Bound, u64)>,
) -> Result<Copy, ReadError> {
    let device = layer.context.device().clone();
    let size = vectors.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: layer.label.as_deref(),
        size: size.max(4),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut next = 0;
    for (bound, bytes) in vectors {
        if !bound.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(ReadError::Usage { vector: bound.tensor });
        }
        encoder.copy_buffer_to_buffer(&bound.buffer, bound.offset, &staging, next, bytes);
        next += bytes;
    }
    let submission = queue.submit([encoder.finish()]);
    Ok(Copy { device, submission, staging })
}

/// Maps a buffer for reading once a submission is done.
pub(crate) async fn mapped(
    device: &wgpu::Device,
    submission: wgpu::SubmissionIndex,
    buffer: &wgpu::Buffer,
) -> Result<(), ReadError> {
    type Answer = (Option<Result<(), wgpu::BufferAsyncError>>, Option<Waker>);
    let shared = Arc::new(Mutex::new(Answer::default()));
    let answer = shared.clone();
    // A buffer of a device that is lost is invalid, which must not be an error that nobody handles.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.0 = Some(result);
        if let Some(waker) = answer.1.take() {
            waker.wake();
        }
    });
    if let Some(error) = scope.pop().await {
        return Err(ReadError::Device(error.to_string()));
    }
    let own = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    device.poll(own).map_err(|error| ReadError::Device(error.to_string()))?;
    poll_fn(|context| {
        let mut answer = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.0.take() {
            Some(result) => Poll::Ready(result.map_err(|error| ReadError::Device(error.to_string()))),
            None => {
                answer.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}
