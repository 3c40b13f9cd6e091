//! The floor: dispatches of nothing, recorded through wgpu itself.

use wgpu_batchnorm::DispatchDescription;
use wgpu_batchnorm::wgpu;

use crate::kernel::module;

/// What the dispatches of a layer's step bind, each how many groups.
#[derive(Debug, Clone, Default)]
pub struct Groups(Vec<usize>);

impl Groups {
    pub fn of(dispatches: &[DispatchDescription]) -> Self {
        let groups = |dispatch: &DispatchDescription| {
            dispatch.bindings.iter().map(|binding| binding.group as usize + 1).max().unwrap_or(0)
        };
        Self(dispatches.iter().map(groups).collect())
    }
}

/// A pipeline that binds as much as a layer's.
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    groups: Vec<wgpu::BindGroup>,
}

/// Two of each number of groups, for wgpu skips what is set already.
pub struct Bare([[Dispatch; 2]; 2]);

impl Bare {
    pub fn new(device: &wgpu::Device) -> Self {
        Self([1, 2].map(|groups| std::array::from_fn(|_| dispatch(device, groups))))
    }

    /// Records step `i` of dispatches like these, each as a layer's: pipeline, bind groups, dispatch.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, i: usize, Groups(groups): &Groups) {
        for (k, &of_dispatch) in groups.iter().enumerate() {
            // How many like this were recorded before.
            let alike = |groups: &[usize]| groups.iter().filter(|&&groups| groups == of_dispatch).count();
            let number = i * alike(groups) + alike(&groups[..k]);
            let Dispatch { pipeline, groups } = &self.0[of_dispatch - 1][number % 2];
            pass.set_pipeline(pipeline);
            for (group, bindings) in groups.iter().enumerate() {
                pass.set_bind_group(group as u32, bindings, &[]);
            }
            pass.dispatch_workgroups(1, 1, 1);
        }
    }
}

fn dispatch(device: &wgpu::Device, groups: usize) -> Dispatch {
    let source = "@group(0) @binding(0) var<uniform> x: vec4<f32>;
        @compute @workgroup_size(1) fn bare() { var y = x; }";
    let module = module(device, "bare", source);
    let (uniform, storage) =
        (wgpu::BufferBindingType::Uniform, wgpu::BufferBindingType::Storage { read_only: false });
    let kinds = &[(uniform, wgpu::BufferUsages::UNIFORM), (storage, wgpu::BufferUsages::STORAGE)];
    let (layouts, groups): (Vec<_>, Vec<_>) =
        kinds[..groups].iter().map(|&(ty, usage)| group(device, ty, usage)).unzip();
    let borrowed: Vec<_> = layouts.iter().map(Some).collect();
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        bind_group_layouts: &borrowed,
        ..Default::default()
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("bare"),
        layout: Some(&layout),
        module: &module,
        entry_point: Some("bare"),
        compilation_options: Default::default(),
        cache: None,
    });
    Dispatch { pipeline, groups }
}

fn group(
    device: &wgpu::Device,
    ty: wgpu::BufferBindingType,
    usage: wgpu::BufferUsages,
) -> (wgpu::BindGroupLayout, wgpu::BindGroup) {
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        }],
    });
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage,
        mapped_at_creation: false,
    });
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &layout,
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    (layout, bindings)
}
