//! How long work takes on the device.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[cfg(not(target_arch = "wasm32"))]
pub(super) use std::time::Instant;
#[cfg(target_arch = "wasm32")]
pub(super) use web_time::Instant;

use super::TuneError;

/// What is done while the device works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Waits {
    /// Others go on: the executor, or the browser.
    Yields,
    /// Nothing.
    Blocks,
}

/// Measures by the device's clock, where it has one, or else from a submission to its end.
pub(super) struct Clock {
    device: wgpu::Device,
    queue: wgpu::Queue,
    queries: Option<Queries>,
    waits: Waits,
}

struct Queries {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

impl Queries {
    const BYTES: u64 = 16;

    fn new(device: &wgpu::Device) -> Self {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("batch norm: timestamps"),
                size: Self::BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("batch norm: timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            read: buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ),
        }
    }
}

impl Clock {
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, waits: Waits) -> Self {
        let has = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let queries = has.then(|| Queries::new(device));
        Self { device: device.clone(), queue: queue.clone(), queries, waits }
    }

    /// Whether the device's own clock tells the times.
    pub fn is_devices(&self) -> bool {
        self.queries.is_some()
    }

    /// Nanoseconds of what is recorded, in a submission of its own.
    pub async fn time(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) -> Result<f64, TuneError> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let writes = self.queries.as_ref().map(|queries| wgpu::ComputePassTimestampWrites {
            query_set: &queries.set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: writes };
        record(&mut encoder.begin_compute_pass(&descriptor));
        if let Some(Queries { set, resolved, read }) = &self.queries {
            encoder.resolve_query_set(set, 0..2, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, read, 0, Queries::BYTES);
        }
        let commands = encoder.finish();
        let start = Instant::now();
        let submission = self.queue.submit([commands]);
        let answer = Answer::default();
        match &self.queries {
            Some(queries) => {
                let told = answer.clone();
                queries.read.map_async(wgpu::MapMode::Read, .., move |result| told.give(result.is_ok()));
            }
            None => {
                let told = answer.clone();
                self.queue.on_submitted_work_done(move || told.give(true));
            }
        }
        self.wait(&answer, submission).await?;
        let wall = start.elapsed().as_nanos() as f64;
        Ok(self.ticks()?.unwrap_or(wall))
    }

    /// Nanoseconds between the timestamps; nothing where there are none, or the clock stood still.
    fn ticks(&self) -> Result<Option<f64>, TuneError> {
        let Some(Queries { read, .. }) = &self.queries else { return Ok(None) };
        let bytes = read.get_mapped_range(..).map_err(|error| TuneError::Device(error.to_string()))?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        drop(bytes);
        read.unmap();
        let ticks = ticks[1].checked_sub(ticks[0]).filter(|&ticks| ticks > 0);
        Ok(ticks.map(|ticks| ticks as f64 * f64::from(self.queue.get_timestamp_period())))
    }

    async fn wait(&self, answer: &Answer, submission: wgpu::SubmissionIndex) -> Result<(), TuneError> {
        let lost = |error: wgpu::PollError| TuneError::Device(error.to_string());
        if self.waits == Waits::Blocks {
            let own = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
            self.device.poll(own).map_err(lost)?;
        }
        poll_fn(|context| {
            // In a browser it does nothing: answers come by themselves.
            if let Err(error) = self.device.poll(wgpu::PollType::Poll) {
                return Poll::Ready(Err(lost(error)));
            }
            match answer.take(context.waker()) {
                Some(true) => Poll::Ready(Ok(())),
                Some(false) => Poll::Ready(Err(TuneError::Device("it gives no timestamps".into()))),
                None => {
                    if !cfg!(target_arch = "wasm32") {
                        std::thread::yield_now();
                        context.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// What the device will say.
#[derive(Clone, Default)]
struct Answer(Arc<Mutex<(Option<bool>, Option<Waker>)>>);

impl Answer {
    fn lock(&self) -> MutexGuard<'_, (Option<bool>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, done: bool) {
        let waker = {
            let mut answer = self.lock();
            answer.0 = Some(done);
            answer.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What it said, or a waker for when it does.
    fn take(&self, waker: &Waker) -> Option<bool> {
        let mut answer = self.lock();
        answer.1 = Some(waker.clone());
        answer.0.take()
    }
}
