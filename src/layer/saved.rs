//! What a forward step leaves to its backward.

use super::Statistics;
use super::mask::BoundMask;
use crate::kernels::{Range, Role};
use crate::plan::Epilogue;
use crate::tensor::{Bound, Shape, StorageType};

/// Where a step saves its statistics.
#[derive(Debug)]
pub(super) enum Saved {
    Contexts(Range),
    Callers(Bound),
}

impl Saved {
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        match self {
            Saved::Contexts(range) => range.binding(),
            Saved::Callers(bound) => bound.binding(),
        }
    }
}

/// What a backward needs to know of its forward step.
pub(super) struct Forward<'a> {
    pub shape: Shape,
    pub storage: StorageType,
    pub statistics: Statistics,
    pub saved: wgpu::BufferBinding<'a>,
    /// The layer's vectors, and what is saved in a buffer of the caller's.
    pub vectors: &'a [(Role, Bound)],
    pub epilogue: Epilogue,
    pub input: &'a Bound,
    pub residual: Option<&'a Bound>,
    pub output: &'a Bound,
    pub mask: Option<&'a BoundMask>,
    pub id: u64,
}
