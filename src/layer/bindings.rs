//! What a stage binds, of what there is for a step: its piece of a tensor, its share of statistics and partial results.

use super::PrepareError;
use crate::kernels::{Access, Fused, Role};
use crate::plan::{Plan, SAVED_VECTORS, Stage, vector_stride};
use crate::tensor::{Aliasing, BindingLimits, Bound, BoundTensor};

/// What there is for a role.
#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    /// A range that stages bind as it is; of saved statistics and partial results, what is theirs of it.
    Range(wgpu::BufferBinding<'a>),
    /// A tensor, of which a stage binds a piece.
    Tensor(&'a BoundTensor),
}

/// What there is for which role.
pub(super) type Bindings<'a> = Vec<(Role, Source<'a>)>;

/// What a stage binds to which role.
pub(super) type StageBindings<'a> = Vec<(Role, wgpu::BufferBinding<'a>)>;

/// What a stage binds of what there is.
pub(super) fn stage_bindings<'a>(
    plan: &Plan,
    limits: &BindingLimits,
    stage: &Stage,
    all: &Bindings<'a>,
) -> Result<StageBindings<'a>, PrepareError> {
    let (row, fused) = (stage.kernel.row(), Fused::of(&plan.work(), stage.kernel));
    let wanted = |role: &Role| match role {
        Role::Layer => row.binds_layer(),
        role => row.bindings_with(&fused).any(|(bound, _)| bound == *role),
    };
    let bind = |(role, source): &(Role, Source<'a>)| {
        let range = match source {
            Source::Range(range) => part_of(plan, stage, *role, range),
            Source::Tensor(tensor) => {
                let rows = tensor.rows(limits, stage.piece.first, stage.piece.rows);
                rows.ok_or(PrepareError::OtherRanges { tensor: tensor.tensor() })?.0
            }
        };
        Ok((*role, range))
    };
    all.iter().filter(|(role, _)| wanted(role)).map(bind).collect()
}

/// What of a range is a stage's: the statistics of its virtual batch, and the partial results of its splits.
fn part_of<'a>(
    plan: &Plan,
    stage: &Stage,
    role: Role,
    range: &wgpu::BufferBinding<'a>,
) -> wgpu::BufferBinding<'a> {
    let vector = vector_stride(plan.shape().features()) * 4;
    let cut = |vectors: u64, first: u32, count: u32| wgpu::BufferBinding {
        buffer: range.buffer,
        offset: range.offset + u64::from(first) * vectors * vector,
        size: std::num::NonZeroU64::new(u64::from(count) * vectors * vector),
    };
    match role {
        Role::Saved => cut(SAVED_VECTORS, stage.piece.batch, 1),
        Role::Partials if !stage.kernel.merges() => {
            cut(plan.op().partial_vectors(), stage.first_split, stage.grid.splits)
        }
        _ => range.clone(),
    }
}

pub(super) fn of<'a, 'b>(bindings: &'b StageBindings<'a>, role: Role) -> Option<&'b wgpu::BufferBinding<'a>> {
    bindings.iter().find(|(bound, _)| *bound == role).map(|(_, buffer)| buffer)
}

/// How what the stage writes lies to what it reads, by the table of kernels; the layer's vectors in one buffer are one
/// binding.
pub(super) fn aliasing(plan: &Plan, stage: &Stage, joint: bool, bindings: &StageBindings<'_>) -> Aliasing {
    let (row, fused) = (stage.kernel.row(), Fused::of(&plan.work(), stage.kernel));
    let bound = |role| of(bindings, role).expect("every role of a planned stage is bound");
    for aliasing in row.aliasings(&fused) {
        if let Some((read, written)) = row.replaced(aliasing) {
            let (read, written) = (bound(read), bound(written));
            if read.buffer == written.buffer && read.offset == written.offset {
                return aliasing;
            }
        }
    }
    let apart = || row.bindings_with(&fused).filter(|(role, _)| !(joint && role.of_layer().is_some()));
    let mixed = apart().any(|(read, access)| {
        let writes =
            |(role, access): (_, _)| access == Access::Write && bound(role).buffer == bound(read).buffer;
        access == Access::Read && apart().any(writes)
    });
    if mixed { Aliasing::SameBuffer } else { Aliasing::Disjoint }
}

pub(super) fn entry<'a>(binding: u32, buffer: &wgpu::BufferBinding<'a>) -> wgpu::BindGroupEntry<'a> {
    wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer.clone()) }
}

/// Tensors, each cut as stages need it.
pub(super) fn tensors<'a>(
    tensors: impl IntoIterator<Item = (Role, &'a BoundTensor)>,
) -> impl Iterator<Item = (Role, Source<'a>)> {
    tensors.into_iter().map(|(role, tensor)| (role, Source::Tensor(tensor)))
}

/// Ranges that were checked.
pub(super) fn ranges<'a>(
    bounds: impl IntoIterator<Item = (Role, &'a Bound)>,
) -> impl Iterator<Item = (Role, Source<'a>)> {
    bounds.into_iter().map(|(role, bound)| (role, Source::Range(bound.binding())))
}
