//! What a forward step leaves to its backward.

use super::Statistics;
use super::mask::BoundMask;
use crate::kernels::{Range, Role};
use crate::plan::Work;
use crate::tensor::{Bound, BoundTensor, Shape};

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

    /// The caller's range, which nothing else may overlap.
    pub fn callers(&self) -> Option<&Bound> {
        match self {
            Saved::Contexts(_) => None,
            Saved::Callers(bound) => Some(bound),
        }
    }
}

/// What a backward needs to know of its forward step.
pub(super) struct Forward<'a> {
    pub work: Work,
    pub shape: Shape,
    pub statistics: Statistics,
    pub saved: wgpu::BufferBinding<'a>,
    /// The layer's vectors, and what is saved in a buffer of the caller's.
    pub vectors: &'a [(Role, Bound)],
    pub input: &'a BoundTensor,
    pub residual: Option<&'a BoundTensor>,
    pub output: &'a BoundTensor,
    pub mask: Option<&'a BoundMask>,
    pub id: u64,
    /// Whether another run of the step is meant than the one on the tensors above.
    pub elsewhere: bool,
}

impl<'a> Forward<'a> {
    /// Of a run that saved here, on other tensors and vectors, if it did.
    pub fn with_saved(self, saved: Option<&'a (Role, Bound)>) -> Self {
        match saved {
            None => self,
            Some(saved) => {
                let vectors = std::slice::from_ref(saved);
                Self { saved: saved.1.binding(), vectors, elsewhere: true, ..self }
            }
        }
    }
}
