//! The dispatches of a plan, and the vectors of C values that pass between them.

use super::grid::Grid;
use super::pieces::Piece;
use super::{DeviceProfile, Kernel, Op, Path, View, Work};
use crate::tensor::Shape;

/// Vectors of C values in a record of moments: `Moments` of shaders/forward/moments.wgsl.
pub(crate) const MOMENTS_VECTORS: u64 = 4;
/// Vectors of C values in a record of gradient sums: `Sums` of shaders/backward/sums.wgsl.
pub(crate) const SUMS_VECTORS: u64 = 2;
/// Vectors of C values that a forward step saves for its backward: `Saved` of shaders/lib/saved.wgsl.
pub(crate) const SAVED_VECTORS: u64 = 6;
/// Vectors of C values that finalize_gradients leaves to input_gradient.
pub(crate) const MEANS_VECTORS: u64 = 2;
/// Vectors of C values for the gradients of parameters that are not wanted.
pub(crate) const UNWANTED_VECTORS: u64 = 2;

/// Float32 from one vector of C values to the next: each can be bound by itself on every device.
pub(crate) fn vector_stride(features: u32) -> u64 {
    u64::from(features).next_multiple_of(64)
}

/// A dispatch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stage {
    pub kernel: Kernel,
    pub grid: Grid,
    /// Workgroups in two dimensions, at least the grid's.
    pub workgroups: [u32; 2],
    /// What it works on; without rows, where it merges.
    pub piece: Piece,
    /// The place of its first partial moments or sums among those of its batch.
    pub first_split: u32,
}

impl Stage {
    pub fn new(kernel: Kernel, grid: Grid, piece: Piece, first_split: u32) -> Self {
        Self { kernel, grid, workgroups: [0, 0], piece, first_split }
    }

    /// What makes a mask of lengths, a word in each invocation.
    pub fn mask_of_lengths(profile: &DeviceProfile, shape: Shape) -> Self {
        let workgroup = profile.max_workgroup_of(View::Rows, 1).min(64);
        let total = mask_words(shape) as u32;
        let (view, packet, groups) = (View::Rows, 1, total.div_ceil(workgroup));
        let grid = Grid { view, packet, workgroup, tile: 1, held: 0, splits: 1, slice: total, total, groups };
        Self::new(Kernel::MaskOfLengths, grid, Piece { first: 0, rows: 0, batch: 0 }, 0)
    }
}

/// Words of a mask: a bit for each example and position.
pub(crate) fn mask_words(shape: Shape) -> u64 {
    shape.count().div_ceil(32)
}

/// Storage buffers that a kernel binds: as many as `Variant::bindings` of src/kernels has, whose test compares.
pub(crate) fn storage_buffers(kernel: Kernel, work: &Work) -> u32 {
    let [mask, residual, flag] = [work.mask.is_some(), work.epilogue.residual, work.commit].map(u32::from);
    let kept = work.kept().len() as u32;
    let (layer, skipped) = if work.separate_vectors { (5, u32::from(work.guard)) } else { (1, 0) };
    match kernel {
        Kernel::MaskOfLengths => 2,
        Kernel::SplitMoments => 2 + mask,
        Kernel::Finalize => 2 + layer + skipped + flag,
        Kernel::Normalize => 3 + mask + residual,
        // It does not count batches.
        Kernel::Evaluate => 3 + mask + residual + if work.separate_vectors { 4 } else { 1 },
        Kernel::Cached | Kernel::Persistent => 3 + mask + residual + layer + skipped + flag,
        Kernel::SplitSums => 3 + kept + mask,
        Kernel::FinalizeGradients => 5,
        Kernel::GatherMoments | Kernel::GatherSums => 2,
        Kernel::InputGradient => 3 + kept + work.written() + mask,
        Kernel::CachedGradient | Kernel::PersistentGradient => 4 + kept + work.written() + mask,
        Kernel::FrozenGradient => 2 + kept + work.written() + mask,
    }
}

/// The kernels of a path, in order.
pub(crate) fn kernels(op: Op, path: Path) -> &'static [Kernel] {
    match (path, op) {
        (Path::Elementwise, Op::Backward { .. }) => &[Kernel::FrozenGradient],
        (Path::Elementwise, Op::Apply) => &[Kernel::Normalize],
        (Path::Elementwise, Op::InputGradient) => &[Kernel::InputGradient],
        (Path::Elementwise, _) => &[Kernel::Evaluate],
        (Path::Persistent, Op::Backward { .. }) => &[Kernel::PersistentGradient],
        (Path::Persistent, _) => &[Kernel::Persistent],
        (Path::Cached, Op::Backward { .. }) => &[Kernel::CachedGradient],
        (Path::Cached, _) => &[Kernel::Cached],
        (Path::Split, Op::Backward { .. }) => {
            &[Kernel::SplitSums, Kernel::FinalizeGradients, Kernel::InputGradient]
        }
        (Path::Split, _) => &[Kernel::SplitMoments, Kernel::Finalize, Kernel::Normalize],
        (Path::Reduce, Op::Moments) => &[Kernel::SplitMoments, Kernel::GatherMoments],
        (Path::Reduce, Op::GradientSums) => &[Kernel::SplitSums, Kernel::GatherSums],
        (Path::Reduce, _) => &[Kernel::SplitSums, Kernel::FinalizeGradients],
        (Path::Empty, Op::Backward { reduce: true, .. } | Op::FinalizeGradients { .. }) => {
            &[Kernel::FinalizeGradients]
        }
        (Path::Empty, Op::Training { update_running: true } | Op::Finalize { .. }) => &[Kernel::Finalize],
        (Path::Empty, Op::Moments) => &[Kernel::GatherMoments],
        (Path::Empty, Op::GradientSums) => &[Kernel::GatherSums],
        (Path::Empty, _) => &[],
    }
}
