//! The floor: dispatches of nothing, recorded through wgpu itself.

use wgpu_batchnorm::wgpu;

use crate::gpu::whole;
use crate::kernel::{Dispatch, module, pipeline};

/// Two, for wgpu skips what is set already.
pub struct Bare([Dispatch; 2]);

impl Bare {
    pub fn new(device: &wgpu::Device) -> Self {
        Self(std::array::from_fn(|_| bare(device)))
    }

    /// Records step `i` of so many dispatches, each as a layer's: pipeline, bind group, dispatch.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, i: usize, dispatches: usize) {
        for dispatch in i * dispatches..(i + 1) * dispatches {
            self.0[dispatch % 2].record(pass);
        }
    }
}

fn bare(device: &wgpu::Device) -> Dispatch {
    let source = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(1) fn bare() { y[0] = 1.0; }";
    let pipeline = pipeline(device, &module(device, "bare", source), "bare", &[]);
    let y = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    Dispatch::new(device, &pipeline, [(0, whole(&y))], [1, 1])
}
