//! How work on the device is timed: recorded, submitted, waited for.

use std::ops::Range;
use std::time::{Duration, Instant};

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu;

/// The rounds that are enough where measuring takes longer than `LONG`.
const FEW: usize = 5;
const LONG: Duration = Duration::from_secs(5);

/// Records an iteration of some work.
pub type Record<'a> = &'a dyn Fn(&mut wgpu::ComputePass<'_>, u64);

/// A device, and how work is handed to it.
pub struct Device {
    pub gpu: Gpu,
    /// Whether the adapter runs on the CPU.
    pub software: bool,
    queries: Option<Queries>,
}

struct Queries {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

impl Device {
    pub fn new(gpu: Gpu) -> Self {
        let software = gpu.device.adapter_info().device_type == wgpu::DeviceType::Cpu;
        let queries = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY).then(|| {
            let buffer = |usage| {
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: 16,
                    usage,
                    mapped_at_creation: false,
                })
            };
            Queries {
                set: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: None,
                    ty: wgpu::QueryType::Timestamp,
                    count: 2,
                }),
                resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
                read: buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ),
            }
        });
        Self { gpu, software, queries }
    }

    /// Iterations in one submission. A software adapter is done with one before the next could be recorded; a GPU must
    /// not wait for the CPU between them.
    pub fn batch(&self) -> u64 {
        if self.software { 1 } else { 64 }
    }

    /// Sets of tensors to go round, so that none is found in a GPU's cache, of at most 256 MB.
    pub fn sets(&self, bytes: u64) -> usize {
        if self.software { 1 } else { (256u64 << 20).div_ceil(bytes).clamp(1, 64) as usize }
    }

    /// The time of so many iterations, from recording the first to the end of the last.
    pub fn time(&self, iterations: u64, record: impl Fn(&mut wgpu::CommandEncoder, Range<u64>)) -> Duration {
        let start = Instant::now();
        let mut done = 0;
        while done < iterations {
            let next = (done + self.batch()).min(iterations);
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            record(&mut encoder, done..next);
            self.submit(encoder);
            done = next;
        }
        start.elapsed()
    }

    /// The same for iterations that share a compute pass.
    pub fn time_passes(&self, iterations: u64, record: Record<'_>) -> Duration {
        self.time(iterations, |encoder, range| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            range.for_each(|iteration| record(&mut pass, iteration));
        })
    }

    /// Nanoseconds of one iteration of each by the device's own clock, without what recording and submitting costs:
    /// medians over rounds in which they take turns, so that a loaded machine slows all of them alike. `None` where
    /// the device has no such clock.
    pub fn nanoseconds<const N: usize>(&self, works: [Record<'_>; N]) -> Option<[f64; N]> {
        let queries = self.queries.as_ref()?;
        let mut times = [const { Vec::new() }; N];
        let start = Instant::now();
        while !are_enough(times[0].len(), 21, start) {
            for (times, record) in times.iter_mut().zip(works) {
                times.push(self.nanoseconds_once(queries, record)?);
            }
        }
        Some(medians(times))
    }

    fn nanoseconds_once(&self, Queries { set, resolved, read }: &Queries, record: Record<'_>) -> Option<f64> {
        let batch = self.batch();
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: set,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                }),
            });
            (0..batch).for_each(|iteration| record(&mut pass, iteration));
        }
        encoder.resolve_query_set(set, 0..2, resolved, 0);
        encoder.copy_buffer_to_buffer(resolved, 0, read, 0, 16);
        encoder.map_buffer_on_submit(read, wgpu::MapMode::Read, .., |_| {});
        self.submit(encoder);
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&read.get_mapped_range(..).ok()?);
        read.unmap();
        let period = f64::from(self.gpu.queue.get_timestamp_period());
        Some(ticks[1].wrapping_sub(ticks[0]) as f64 * period / batch as f64)
    }

    fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device was lost");
    }
}

/// Whether these rounds, which began at `start`, are enough where `wanted` are asked for: few are where they take long.
pub fn are_enough(rounds: usize, wanted: usize, start: Instant) -> bool {
    rounds >= wanted || (rounds >= FEW && start.elapsed() > LONG)
}

/// Of each.
pub fn medians<const N: usize>(times: [Vec<f64>; N]) -> [f64; N] {
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}
