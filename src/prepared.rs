//! Prepared work: dispatches with everything bound, ready to be recorded any number of times.

use bytemuck::bytes_of;
use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::dispatch::{DispatchBinding, DispatchDescription};
use crate::error::PrepareError;
use crate::grid::Grid;
use crate::kernels::{Kernel, Tensors, Variant};
use crate::layer::BatchNorm;
use crate::params::Params;
use crate::plan::Plan;
use crate::shape::Shape;

/// Binding numbers, the same in all shaders.
pub(crate) mod slot {
    pub const PARAMS: u32 = 0;
    pub const INPUT: u32 = 1;
    pub const OUTPUT: u32 = 2;
    pub const STATE: u32 = 3;
    pub const BATCHES: u32 = 4;
    pub const RECORD: u32 = 5;
    pub const PARTIALS: u32 = 6;
    pub const OUTPUT_GRADIENT: u32 = 7;
    pub const WEIGHT_GRADIENT: u32 = 8;
    pub const BIAS_GRADIENT: u32 = 9;
    pub const MEANS: u32 = 10;
}

#[derive(Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 2],
    variant: Variant,
    constants: [(&'static str, f64); 2],
    bound: Vec<DispatchBinding>,
}

/// The dispatches of one step, and the plan they follow.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub plan: Plan,
    dispatches: Vec<Dispatch>,
}

impl Prepared {
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            let [x, y] = dispatch.workgroups;
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bindings, &[]);
            pass.dispatch_workgroups(x, y, 1);
        }
    }

    /// The same dispatches as data.
    pub fn dispatches(&self) -> Vec<DispatchDescription> {
        let describe = |dispatch: &Dispatch| DispatchDescription {
            label: dispatch.variant.name(),
            source: dispatch.variant.source(),
            entry: dispatch.variant.kernel.entry(),
            constants: dispatch.constants.to_vec(),
            workgroups: [dispatch.workgroups[0], dispatch.workgroups[1], 1],
            bindings: dispatch.bound.clone(),
        };
        self.dispatches.iter().map(describe).collect()
    }
}

/// Collects the dispatches of a step, and counts what they take.
pub(crate) struct Preparation<'a> {
    layer: &'a BatchNorm,
    plan: Plan,
    shape: Shape,
    params: Params,
    dispatches: Vec<Dispatch>,
}

impl<'a> Preparation<'a> {
    pub fn new(layer: &'a BatchNorm, plan: Plan, shape: Shape, params: Params) -> Self {
        Self { layer, plan, shape, params, dispatches: Vec::new() }
    }

    /// Scratch for so many vectors of C values.
    pub fn scratch(&mut self, vectors: u64) -> wgpu::Buffer {
        let size = vectors.max(1) * u64::from(self.layer.stride) * 4;
        self.plan.scratch_bytes += size;
        self.layer.context.device().create_buffer(&wgpu::BufferDescriptor {
            label: self.layer.label.as_deref(),
            size,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    }

    /// Scratch for what the plan's first dispatch leaves to be merged.
    pub fn partials(&mut self) -> wgpu::Buffer {
        self.scratch(self.plan.partial_vectors())
    }

    /// Adds a dispatch over the tensor.
    pub fn over_tensor(
        &mut self,
        kernel: Kernel,
        grid: &Grid,
        tensors: Tensors,
        bindings: &[(u32, wgpu::BufferBinding<'_>)],
    ) -> Result<(), PrepareError> {
        let variant = Variant::new(kernel, grid, tensors);
        self.add(variant, grid, self.params.over_tensor(self.shape, grid), bindings)
    }

    /// Adds a dispatch that merges what the plan's first dispatch left.
    pub fn over_features(
        &mut self,
        kernel: Kernel,
        bindings: &[(u32, wgpu::BufferBinding<'_>)],
    ) -> Result<(), PrepareError> {
        let (reduced, merge) = (self.plan.first, self.plan.merge);
        let variant = Variant::new(kernel, &merge, Tensors::Separate);
        self.add(variant, &merge, self.params.over_features(&reduced, &merge), bindings)
    }

    fn add(
        &mut self,
        variant: Variant,
        grid: &Grid,
        params: Params,
        bindings: &[(u32, wgpu::BufferBinding<'_>)],
    ) -> Result<(), PrepareError> {
        let BatchNorm { context, label, .. } = self.layer;
        let label = label.as_deref();
        let workgroups = context.machine().workgroups(grid.groups)?;
        let device = context.device();
        let pipeline = context.pipeline(variant, grid);
        let uniform = device.create_buffer_init(&BufferInitDescriptor {
            label,
            contents: bytes_of(&params),
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let mut bound =
            vec![DispatchBinding::new(slot::PARAMS, &uniform.as_entire_buffer_binding(), bytes_of(&params))];
        bound.extend(bindings.iter().map(|(slot, buffer)| DispatchBinding::new(*slot, buffer, &[])));
        let entries: Vec<_> = bound.iter().map(DispatchBinding::entry).collect();
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        self.plan.workgroups.push(grid.groups);
        let constants = grid.constants();
        self.dispatches.push(Dispatch { pipeline, bindings, workgroups, variant, constants, bound });
        Ok(())
    }

    pub fn finish(self) -> Prepared {
        Prepared { plan: self.plan, dispatches: self.dispatches }
    }
}
