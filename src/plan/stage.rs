//! The dispatches of a plan, and the vectors of C values that pass between them.

use super::grid::Grid;
use super::pieces::Piece;
use super::{Kernel, Op, Path};

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
