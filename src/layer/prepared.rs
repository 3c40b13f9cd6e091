//! Prepared work: dispatches with everything bound, ready to be recorded any number of times.

use std::sync::Arc;

use bytemuck::bytes_of;

use super::dispatch::{DispatchBinding, DispatchDescription};
use super::{BatchNorm, PrepareError};
use crate::kernels::{Access, Context, Fused, Key, Params, Pipeline, Role, Uniform, Variant};
use crate::plan::{MEANS_VECTORS, Plan, Stage, vector_stride};
use crate::tensor::{Aliasing, Bound};

/// Bytes from one stage's parameters to the next: the largest alignment that WebGPU knows.
const SLOT: usize = 256;

/// What is bound to which role.
pub(super) type Bindings<'a> = Vec<(Role, wgpu::BufferBinding<'a>)>;

/// A stage, ready to be recorded.
#[derive(Debug)]
struct Ready {
    variant: Variant,
    pipeline: Arc<Pipeline>,
    groups: Vec<wgpu::BindGroup>,
}

/// The dispatches of one step, and the plan they follow.
#[derive(Debug)]
pub(super) struct Prepared {
    pub plan: Plan,
    context: Context,
    label: Option<String>,
    /// Parameters of each stage, `SLOT` bytes apart.
    uniform: Arc<Uniform>,
    scratch: Option<wgpu::Buffer>,
    /// Where a mask is made of lengths.
    mask: Option<wgpu::Buffer>,
    /// Whether running statistics normalized.
    frozen: bool,
    dispatches: Vec<Ready>,
    /// What is bound, as data.
    bound: Vec<(Role, DispatchBinding)>,
}

impl Prepared {
    pub fn new(
        layer: &BatchNorm,
        plan: Plan,
        params: Params,
        frozen: bool,
        bindings: &Bindings<'_>,
    ) -> Result<Self, PrepareError> {
        let context = layer.context.clone();
        let mut contents = vec![0; SLOT * plan.stages().len().max(1)];
        for (Stage { kernel, grid, .. }, slot) in plan.stages().iter().zip(contents.chunks_mut(SLOT)) {
            let params = match kernel {
                kernel if kernel.merges() => params.over_features(plan.splits(), grid),
                kernel if kernel.sees_tensor() => params.over_tensor(plan.shape(), grid),
                _ => params.over_mask(plan.shape(), grid),
            };
            slot[..size_of::<Params>()].copy_from_slice(bytes_of(&params));
        }
        let vector = vector_stride(plan.shape().features()) * 4;
        let scratch = plan.scratch_vectors().0 * vector;
        let mut prepared = Self {
            uniform: context.uniform(contents),
            scratch: (scratch > 0).then(|| context.scratch(scratch)),
            mask: (plan.mask_bytes() > 0).then(|| context.mask(plan.mask_bytes())),
            label: layer.label.clone(),
            context,
            plan,
            frozen,
            dispatches: Vec::new(),
            bound: Vec::new(),
        };
        prepared.bind(bindings)?;
        Ok(prepared)
    }

    /// Binds other buffers: looks pipelines up, which are built where the new buffers lie otherwise, and makes bind
    /// groups. Nothing changes where it fails.
    pub fn bind(&mut self, bindings: &Bindings<'_>) -> Result<(), PrepareError> {
        let all: Bindings<'_> = bindings.iter().cloned().chain(self.scratch_bindings(bindings)).collect();
        let ready = |(i, stage): (usize, &Stage)| {
            let joint = of(&all, Role::Layer).is_some();
            let aliasing = aliasing(&Fused::of(&self.plan.work(), stage.kernel), stage, joint, &all);
            let variant = Variant::new(&self.plan, stage, joint, aliasing);
            let pipeline = self.context.pipeline(variant, &stage.grid, self.frozen)?;
            let groups = self.groups(i, &variant, &pipeline, &all);
            Ok(Ready { variant, pipeline, groups })
        };
        let dispatches =
            self.plan.stages().iter().enumerate().map(ready).collect::<Result<_, PrepareError>>()?;
        let described = |(role, buffer): &(Role, _)| (*role, DispatchBinding::new(role.place(), buffer, &[]));
        let bound = all.iter().map(described).collect();
        (self.dispatches, self.bound) = (dispatches, bound);
        Ok(())
    }

    /// Parts of the shared scratch: partials, means, and gradients that are not wanted.
    fn scratch_bindings(&self, given: &Bindings<'_>) -> Bindings<'_> {
        let size = std::num::NonZeroU64::new(self.plan.mask_bytes());
        let mask = self.mask.iter().map(|buffer| (Role::Mask, wgpu::BufferBinding { buffer, offset: 0, size }));
        let mut parts: Bindings<'_> = mask.collect();
        let Some(buffer) = &self.scratch else { return parts };
        let vector = vector_stride(self.plan.shape().features()) * 4;
        let mut next = 0;
        let mut part = |vectors: u64| {
            let (offset, size) = (next, std::num::NonZeroU64::new(vectors * vector));
            next += vectors * vector;
            wgpu::BufferBinding { buffer, offset, size }
        };
        parts.push((Role::Partials, part(self.plan.scratch_vectors().1)));
        if self.plan.op().is_backward() {
            parts.push((Role::Means, part(MEANS_VECTORS)));
            for role in [Role::WeightGradient, Role::BiasGradient] {
                if given.iter().all(|(wanted, _)| *wanted != role) {
                    parts.push((role, part(1)));
                }
            }
        }
        parts
    }

    /// The parameters of stage `i`.
    fn params(&self, i: usize) -> wgpu::BufferBinding<'_> {
        let size = std::num::NonZeroU64::new(size_of::<Params>() as u64);
        wgpu::BufferBinding { buffer: &self.uniform.buffer, offset: (i * SLOT) as u64, size }
    }

    fn groups(
        &self,
        i: usize,
        variant: &Variant,
        pipeline: &Pipeline,
        bindings: &Bindings<'_>,
    ) -> Vec<wgpu::BindGroup> {
        let roles = variant.bindings();
        let group = |(group, layout): (usize, &wgpu::BindGroupLayout)| {
            let mut entries = Vec::with_capacity(8);
            if group == 0 {
                entries.push(entry(0, &self.params(i)));
            }
            for (role, _) in roles.iter().filter(|(role, _)| role.place().0 as usize == group) {
                let buffer = of(bindings, *role).expect("every role of a planned stage is bound");
                entries.push(entry(role.place().1, buffer));
            }
            self.context.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: self.label.as_deref(),
                layout,
                entries: &entries,
            })
        };
        pipeline.layouts.iter().enumerate().map(group).collect()
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for (stage, ready) in self.plan.stages().iter().zip(&self.dispatches) {
            let [x, y] = stage.workgroups;
            pass.set_pipeline(&ready.pipeline.pipeline);
            for (group, bindings) in ready.groups.iter().enumerate() {
                pass.set_bind_group(group as u32, bindings, &[]);
            }
            pass.dispatch_workgroups(x, y, 1);
        }
    }
}

impl Prepared {
    /// The dispatches as data.
    pub fn dispatches(&self) -> Vec<DispatchDescription> {
        let describe = |(i, (stage, ready)): (usize, (&Stage, &Ready))| {
            let Stage { kernel, grid, workgroups: [x, y] } = *stage;
            let key = Key::new(ready.variant, &grid, self.frozen);
            let params = DispatchBinding::new(
                (0, 0),
                &self.params(i),
                &self.uniform.contents[i * SLOT..][..size_of::<Params>()],
            );
            let roles: Vec<_> = ready.variant.bindings().iter().map(|(role, _)| *role).collect();
            let bound = self.bound.iter().filter(|(role, _)| roles.contains(role)).map(|(_, bound)| bound);
            DispatchDescription {
                label: ready.variant.name(),
                source: key.source(),
                entry: kernel.row().entry,
                constants: key.constants(),
                workgroups: [x, y, 1],
                bindings: bound.cloned().chain([params]).collect(),
            }
        };
        self.plan.stages().iter().zip(&self.dispatches).enumerate().map(describe).collect()
    }
}

fn of<'a, 'b>(bindings: &'b Bindings<'a>, role: Role) -> Option<&'b wgpu::BufferBinding<'a>> {
    bindings.iter().find(|(bound, _)| *bound == role).map(|(_, buffer)| buffer)
}

/// How what the stage writes lies to what it reads, by the table of kernels; the layer's vectors in one buffer are one
/// binding.
fn aliasing(fused: &Fused, stage: &Stage, joint: bool, bindings: &Bindings<'_>) -> Aliasing {
    let row = stage.kernel.row();
    let bound = |role| of(bindings, role).expect("every role of a planned stage is bound");
    for aliasing in row.aliasings(fused) {
        if let Some((read, written)) = row.replaced(aliasing) {
            let (read, written) = (bound(read), bound(written));
            if read.buffer == written.buffer && read.offset == written.offset {
                return aliasing;
            }
        }
    }
    let apart = || row.bindings_with(fused).filter(|(role, _)| !(joint && role.of_layer().is_some()));
    let mixed = apart().any(|(read, access)| {
        let writes =
            |(role, access): (_, _)| access == Access::Write && bound(role).buffer == bound(read).buffer;
        access == Access::Read && apart().any(writes)
    });
    if mixed { Aliasing::SameBuffer } else { Aliasing::Disjoint }
}

fn entry<'a>(binding: u32, buffer: &wgpu::BufferBinding<'a>) -> wgpu::BindGroupEntry<'a> {
    wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer.clone()) }
}

/// The bindings of checked tensors.
pub(super) fn bindings_of<'a>(bounds: impl IntoIterator<Item = (Role, &'a Bound)>) -> Bindings<'a> {
    bounds.into_iter().map(|(role, bound)| (role, bound.binding())).collect()
}
