//! Bytes on their way from the device to the host.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::device::{DeviceError, alive, buffer, checked};

/// Ranges of buffers that were copied, one after the other, and can be mapped once the copy is done.
#[derive(Debug)]
pub(crate) struct Readback {
    device: wgpu::Device,
    submission: wgpu::SubmissionIndex,
    staging: wgpu::Buffer,
}

impl Readback {
    /// Submits a copy of so many bytes of each buffer, from an offset on.
    pub fn submit(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        label: Option<&str>,
        ranges: &[(&wgpu::Buffer, u64, u64)],
    ) -> Result<Self, DeviceError> {
        let descriptor = wgpu::BufferDescriptor {
            label,
            size: ranges.iter().map(|(.., bytes)| bytes).sum::<u64>().max(4),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        };
        let staging = buffer(device, &descriptor)?;
        let submission = checked(device, || {
            let mut encoder = device.create_command_encoder(&Default::default());
            let mut next = 0;
            for &(buffer, offset, bytes) in ranges {
                encoder.copy_buffer_to_buffer(buffer, offset, &staging, next, bytes);
                next += bytes;
            }
            queue.submit([encoder.finish()])
        })?;
        alive(device)?;
        Ok(Self { device: device.clone(), submission, staging })
    }

    /// The bytes. On native platforms it waits for the copy, and for no later work; on the web it yields to the browser.
    pub async fn read(self) -> Result<Vec<u8>, DeviceError> {
        self.mapped().await?;
        let view = self.staging.get_mapped_range(..).map_err(|error| self.why(error))?;
        Ok(view.to_vec())
    }

    fn why(&self, error: impl ToString) -> DeviceError {
        alive(&self.device).err().unwrap_or_else(|| DeviceError::refused(error.to_string()))
    }

    async fn mapped(&self) -> Result<(), DeviceError> {
        type Answer = (Option<Result<(), wgpu::BufferAsyncError>>, Option<Waker>);
        let shared = Arc::new(Mutex::new(Answer::default()));
        let answer = shared.clone();
        let map = || {
            self.staging.map_async(wgpu::MapMode::Read, .., move |result| {
                let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                answer.0 = Some(result);
                if let Some(waker) = answer.1.take() {
                    waker.wake();
                }
            })
        };
        checked(&self.device, map)?;
        let own = wgpu::PollType::Wait { submission_index: Some(self.submission.clone()), timeout: None };
        self.device.poll(own).map_err(|error| self.why(error))?;
        let result = poll_fn(|context| {
            let mut answer = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match answer.0.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    answer.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        result.await.map_err(|error| self.why(error))
    }
}
