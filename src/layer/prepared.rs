//! Prepared work: dispatches with everything bound, ready to be recorded any number of times.

use std::sync::Arc;

use bytemuck::bytes_of;

use super::bindings::{Bindings, Source, StageBindings, aliasing, entry, of, stage_bindings};
use super::dispatch::{DispatchBinding, DispatchDescription};
use super::{BatchNorm, PrepareError};
use crate::kernels::{Constants, Context, Key, Params, Pipeline, Role, Uniform, Variant};
use crate::plan::{MEANS_VECTORS, Plan, Stage, vector_stride};

/// Bytes from one stage's parameters to the next: the largest alignment that WebGPU knows.
const SLOT: usize = 256;

/// A stage, ready to be recorded.
#[derive(Debug)]
struct Ready {
    variant: Variant,
    pipeline: Arc<Pipeline>,
    groups: Vec<wgpu::BindGroup>,
    /// What is bound, as data.
    bound: Vec<(Role, DispatchBinding)>,
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
    constants: Constants,
    dispatches: Vec<Ready>,
}

impl Prepared {
    pub fn new(
        layer: &BatchNorm,
        plan: Plan,
        params: Params,
        constants: Constants,
        bindings: &Bindings<'_>,
    ) -> Result<Self, PrepareError> {
        let context = layer.context.clone();
        let mut contents = vec![0; SLOT * plan.stages().len().max(1)];
        for (stage, slot) in plan.stages().iter().zip(contents.chunks_mut(SLOT)) {
            let params = params_of(layer, &plan, params, stage);
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
            constants,
            dispatches: Vec::new(),
        };
        prepared.bind(bindings)?;
        Ok(prepared)
    }

    /// Binds other buffers: looks pipelines up, which are built where the new buffers lie otherwise, and makes bind
    /// groups. Nothing changes where it fails.
    pub fn bind(&mut self, bindings: &Bindings<'_>) -> Result<(), PrepareError> {
        let all: Bindings<'_> = bindings.iter().cloned().chain(self.scratch_bindings(bindings)).collect();
        let limits = self.context.profile().bindings();
        let ready = |(i, stage): (usize, &Stage)| {
            let bindings = stage_bindings(&self.plan, &limits, stage, &all)?;
            let joint = of(&bindings, Role::Layer).is_some();
            let aliasing = aliasing(&self.plan, stage, joint, &bindings);
            let variant = Variant::new(&self.plan, stage, joint, aliasing);
            let pipeline = self.context.pipeline(variant, &stage.grid, self.constants)?;
            let groups = self.groups(i, &variant, &pipeline, &bindings);
            let described =
                |(role, buffer): &(Role, _)| (*role, DispatchBinding::new(role.place(), buffer, &[]));
            let bound = bindings.iter().map(described).collect();
            Ok(Ready { variant, pipeline, groups, bound })
        };
        self.dispatches =
            self.plan.stages().iter().enumerate().map(ready).collect::<Result<_, PrepareError>>()?;
        Ok(())
    }

    /// Parts of the shared scratch: partials, means, and gradients that are not wanted, for the kernels that bind them.
    fn scratch_bindings(&self, given: &Bindings<'_>) -> Bindings<'_> {
        let size = std::num::NonZeroU64::new(self.plan.mask_bytes());
        let mask = |buffer| (Role::Mask, Source::Range(wgpu::BufferBinding { buffer, offset: 0, size }));
        let mut parts: Bindings<'_> = self.mask.iter().map(mask).collect();
        let Some(buffer) = &self.scratch else { return parts };
        let vector = vector_stride(self.plan.shape().features()) * 4;
        let mut next = 0;
        let roles = [
            (Role::Partials, self.plan.scratch_vectors().1),
            (Role::Means, MEANS_VECTORS),
            (Role::WeightGradient, 1),
            (Role::BiasGradient, 1),
        ];
        let binds = |role| {
            let rows = self.plan.stages().iter().map(|stage| stage.kernel.row().bindings);
            rows.flatten().any(|(bound, _)| *bound == role)
        };
        let missing = |role| given.iter().all(|(wanted, _)| *wanted != role) && binds(role);
        let part = |(role, vectors): (Role, u64)| {
            let (offset, size) = (next, std::num::NonZeroU64::new(vectors * vector));
            next += vectors * vector;
            (role, Source::Range(wgpu::BufferBinding { buffer, offset, size }))
        };
        parts.extend(roles.into_iter().filter(|(role, _)| missing(*role)).map(part));
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
        bindings: &StageBindings<'_>,
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
            let Stage { kernel, grid, workgroups: [x, y], .. } = *stage;
            let key = Key::new(ready.variant, &grid, self.constants);
            let params = DispatchBinding::new(
                (0, 0),
                &self.params(i),
                &self.uniform.contents[i * SLOT..][..size_of::<Params>()],
            );
            let roles: Vec<_> = ready.variant.bindings().iter().map(|(role, _)| *role).collect();
            let bound = ready.bound.iter().filter(|(role, _)| roles.contains(role)).map(|(_, bound)| bound);
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

/// What a stage is told, given what all stages of the step share.
fn params_of(layer: &BatchNorm, plan: &Plan, params: Params, stage: &Stage) -> Params {
    let Stage { kernel, grid, piece, .. } = stage;
    // What the first virtual batch has written, the others add to.
    let accumulate = params.accumulate.max((piece.batch > 0).into());
    let params = Params { accumulate, ..params };
    let (work, shape) = (plan.work(), plan.shape());
    if kernel.merges() {
        return params.over_features(grid);
    }
    if !kernel.sees_tensor() {
        return params.over_mask(shape, grid);
    }
    let granule = layer.context.profile().bindings().granule();
    let before = (u128::from(piece.first) * u128::from(work.row_bytes(shape)) % u128::from(granule)) as u64;
    let first = before / (u64::from(grid.packet) * work.storage.bytes());
    // Whole rows come before, each of so many packets of a feature.
    let number = piece.first.wrapping_mul(shape.inner() / u64::from(grid.values()));
    let params = Params { number: number as u32, ..params };
    params.over_tensor(shape.with_rows(piece.rows), grid, first as u32)
}
