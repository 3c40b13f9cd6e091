//! Compute kernels that are not the layer's: compiled, bound to buffers, recorded.

use wgpu_batchnorm::wgpu;

/// A module of WGSL, with wgpu's run-time checks.
pub fn module(device: &wgpu::Device, label: &str, source: &str) -> wgpu::ShaderModule {
    device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    })
}

/// The pipeline of an entry point, its layout as the shader has it.
pub fn pipeline(
    device: &wgpu::Device,
    module: &wgpu::ShaderModule,
    entry_point: &str,
    constants: &[(&str, f64)],
) -> wgpu::ComputePipeline {
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(entry_point),
        layout: None,
        module,
        entry_point: Some(entry_point),
        compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
        cache: None,
    })
}

/// A pipeline with its buffers bound and its number of workgroups: prepared once, which allocates, and recorded as
/// often as wanted, which does not.
pub struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 2],
}

impl Dispatch {
    /// Binds each buffer to the number of group 0 that it comes with.
    pub fn new<'a>(
        device: &wgpu::Device,
        pipeline: &wgpu::ComputePipeline,
        buffers: impl IntoIterator<Item = (u32, wgpu::BufferBinding<'a>)>,
        workgroups: [u32; 2],
    ) -> Self {
        let entry = |(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(buffer),
        };
        let entries: Vec<_> = buffers.into_iter().map(entry).collect();
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self { pipeline: pipeline.clone(), bindings, workgroups }
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.workgroups[0], self.workgroups[1], 1);
    }
}
