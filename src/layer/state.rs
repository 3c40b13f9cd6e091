//! The layer's state on the host: explicit copies, outside the hot path.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use bytemuck::{cast_slice, pod_collect_to_vec};

use super::{BatchNorm, ReadError, StateError};
use crate::kernels::Role;
use crate::tensor::Bound;

/// A copy of a layer's state, with PyTorch's state-dict names. Vectors have C values, or none where the layer has no
/// such vector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// γ.
    pub weight: Vec<f32>,
    /// β.
    pub bias: Vec<f32>,
    /// Running mean of each feature.
    pub running_mean: Vec<f32>,
    /// Running variance of each feature.
    pub running_var: Vec<f32>,
    /// Training steps that moved the running statistics. The device counts to 2³² − 1 and stays there.
    pub num_batches_tracked: u64,
}

impl State {
    /// The vector of a role, and its name.
    fn vector(&mut self, role: Role) -> Option<(&'static str, &mut Vec<f32>)> {
        match role {
            Role::Weight => Some(("weight", &mut self.weight)),
            Role::Bias => Some(("bias", &mut self.bias)),
            Role::RunningMean => Some(("running_mean", &mut self.running_mean)),
            Role::RunningVar => Some(("running_var", &mut self.running_var)),
            _ => None,
        }
    }
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
        let mut state = state.clone();
        for vector in &self.vectors.all {
            if let Some((name, values)) = state.vector(vector.role) {
                let required = if vector.has { self.features() as usize } else { 0 };
                if values.len() != required {
                    return Err(StateError::Length { vector: name, required, given: values.len() });
                }
            }
            if vector.has && !vector.bound.buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
                return Err(StateError::Usage { vector: vector.bound.tensor });
            }
        }
        let wrong = state.running_var.iter().position(|variance| variance.is_nan() || *variance < 0.0);
        if let Some(index) = wrong {
            return Err(StateError::Variance { index, given: state.running_var[index] });
        }
        let count = u32::try_from(state.num_batches_tracked).unwrap_or(u32::MAX);
        let counts = vec![count; self.features() as usize];
        for vector in self.vectors.all.iter().filter(|vector| vector.has) {
            let Bound { buffer, offset, .. } = &vector.bound;
            match state.vector(vector.role) {
                Some((_, values)) => queue.write_buffer(buffer, *offset, cast_slice(values)),
                None => queue.write_buffer(buffer, *offset, cast_slice(&counts)),
            }
        }
        Ok(())
    }

    /// Copies the state to the host, as it is after all work submitted so far; [`read_states`] of one layer.
    ///
    /// # Errors
    /// [`ReadError`], where the device is lost or out of memory, or a buffer of the caller's cannot be read.
    pub async fn read_state(&self, queue: &wgpu::Queue) -> Result<State, ReadError> {
        let mut states = read_states(queue, &[self]).await?;
        Ok(states.remove(0))
    }

    /// The vectors that the layer has; of the count of batches, which stands once per feature, the first.
    fn readable(&self) -> impl Iterator<Item = (Role, &Bound, u64)> {
        let bytes = |role, bound: &Bound| if role == Role::Batches { 4 } else { bound.bytes };
        let vectors = self.vectors.all.iter().filter(|vector| vector.has);
        vectors.map(move |vector| (vector.role, &vector.bound, bytes(vector.role, &vector.bound)))
    }
}

/// Copies the state of several layers of a device to the host, as it is after all work submitted so far.
///
/// Submits one copy. On native platforms it then waits for that submission (so the future is ready at once:
/// `pollster::block_on` will do); on the web it yields to the browser until the copy is there.
///
/// # Errors
/// [`ReadError`], where the device is lost or out of memory, or a buffer of a caller's cannot be read.
pub async fn read_states(queue: &wgpu::Queue, layers: &[&BatchNorm]) -> Result<Vec<State>, ReadError> {
    let Some(first) = layers.first() else { return Ok(Vec::new()) };
    let vectors = layers.iter().flat_map(|layer| layer.readable()).map(|(_, bound, bytes)| (bound, bytes));
    let bytes = read_vectors(first, queue, vectors).await?;
    let mut next = 0;
    let mut take = |bytes_of: u64| {
        let taken = &bytes[next..next + bytes_of as usize];
        next += bytes_of as usize;
        taken
    };
    let read = |layer: &&BatchNorm| {
        let mut state = State::default();
        for (role, _, bytes) in layer.readable() {
            let taken = take(bytes);
            match state.vector(role) {
                Some((_, values)) => *values = pod_collect_to_vec(taken),
                None => state.num_batches_tracked = bytemuck::pod_read_unaligned::<u32>(taken).into(),
            }
        }
        state
    };
    Ok(layers.iter().map(read).collect())
}

/// Copies so many bytes of each vector to the host, one after the other; `layer` is of their device.
pub(super) async fn read_vectors<'a>(
    layer: &BatchNorm,
    queue: &wgpu::Queue,
    vectors: impl IntoIterator<Item = (&'a Bound, u64)>,
) -> Result<Vec<u8>, ReadError> {
    let vectors: Vec<_> = vectors.into_iter().collect();
    let device = layer.context.device();
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
    mapped(device, submission, &staging).await?;
    let bytes = staging.get_mapped_range(..).map_err(|error| ReadError::Device(error.to_string()))?;
    Ok(bytes.to_vec())
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
    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.0 = Some(result);
        if let Some(waker) = answer.1.take() {
            waker.wake();
        }
    });
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
