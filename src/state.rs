//! The layer's state on the host: explicit copies, outside the hot path.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use bytemuck::{cast_slice, pod_collect_to_vec};

use crate::error::{ReadError, StateError};
use crate::layer::BatchNorm;

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
    /// Training steps that moved the running statistics.
    pub num_batches_tracked: u32,
}

impl BatchNorm {
    /// Sets weight, bias, running statistics and the count of batches, for all work submitted after this call.
    ///
    /// Uses `Queue::write_buffer`: no wait, a copy through host memory.
    ///
    /// # Errors
    /// [`StateError`], where a vector's length is not the layer's (0 where the layer has no such vector); nothing has
    /// been changed then.
    pub fn set_state(&self, queue: &wgpu::Queue, state: &State) -> Result<(), StateError> {
        let mut state = state.clone();
        let vectors = self.vectors(&mut state);
        for (vector, _, has, values) in &vectors {
            let required = if *has { self.features() as usize } else { 0 };
            if values.len() != required {
                return Err(StateError::Length { vector, required, given: values.len() });
            }
        }
        for (_, vector, has, values) in vectors {
            if has {
                queue.write_buffer(&self.state, self.vector_offset(vector), cast_slice(values));
            }
        }
        let batches = vec![state.num_batches_tracked; self.features() as usize];
        queue.write_buffer(&self.batches, 0, cast_slice(&batches));
        Ok(())
    }

    /// Copies the state to the host, as it is after all work submitted so far.
    ///
    /// Submits a copy. On native platforms it then waits for the device (so the future is ready at once:
    /// `pollster::block_on` will do); on the web it yields to the browser until the copy is there.
    ///
    /// # Errors
    /// [`ReadError`], where the device is lost or out of memory.
    pub async fn read_state(&self, queue: &wgpu::Queue) -> Result<State, ReadError> {
        let device = self.context.device();
        let state_bytes = self.state.size();
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: self.label.as_deref(),
            size: state_bytes + 4,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.state, 0, &staging, 0, state_bytes);
        encoder.copy_buffer_to_buffer(&self.batches, 0, &staging, state_bytes, 4);
        queue.submit([encoder.finish()]);
        mapped(device, &staging).await?;

        let bytes = staging.get_mapped_range(..).map_err(|error| ReadError::Device(error.to_string()))?;
        let mut state = State {
            num_batches_tracked: bytemuck::pod_read_unaligned(&bytes[state_bytes as usize..]),
            ..State::default()
        };
        for (_, vector, has, values) in self.vectors(&mut state) {
            if has {
                let begin = self.vector_offset(vector) as usize;
                *values = pod_collect_to_vec(&bytes[begin..begin + self.vector_bytes() as usize]);
            }
        }
        Ok(state)
    }
}

/// Maps a buffer for reading.
pub(crate) async fn mapped(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Result<(), ReadError> {
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
    device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| ReadError::Device(error.to_string()))?;
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
