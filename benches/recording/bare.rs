//! The floor: dispatches of nothing, recorded through wgpu itself.

use wgpu_batchnorm::wgpu;

/// Two, for wgpu skips what is set already.
pub struct Bare([(wgpu::ComputePipeline, wgpu::BindGroup); 2]);

impl Bare {
    pub fn new(device: &wgpu::Device) -> Self {
        Self(std::array::from_fn(|_| bare(device)))
    }

    /// Records step `i` of so many dispatches, each as a layer's: pipeline, bind group, dispatch.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, i: usize, dispatches: usize) {
        for dispatch in i * dispatches..(i + 1) * dispatches {
            let (pipeline, bindings) = &self.0[dispatch % 2];
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bindings, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
    }
}

fn bare(device: &wgpu::Device) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
    let source = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(1) fn main() { y[0] = 1.0; }";
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let y = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: y.as_entire_binding() }],
    });
    (pipeline, bindings)
}
