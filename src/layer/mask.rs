//! Masks: which examples and positions take part.

use super::{BatchNorm, PrepareError};
use crate::kernels::Role;
use crate::plan::{MaskKind, mask_words};
use crate::tensor::{Bound, Shape, Tensor};

/// Which values of a batch are valid. Statistics, sums and counts are over these alone; what is not valid (padding) is
/// never used, whatever it holds, and gets y = 0 and dx = 0. All features of an example and position are valid or not.
///
/// The device reads it anew each time a step is recorded into a pass that is submitted, so that it may change from one to
/// the next without a new preparation. A backward reads it too: it must not change before that has run.
///
/// A feature with one valid value has variance 0, in the running variance too. Without a valid value the batch is counted,
/// the running statistics stay, and the gradients of weight and bias are 0.
#[derive(Debug, Clone)]
pub enum Mask<'a> {
    /// N u32: as many positions of each example are valid, counted from its first, as in PyTorch's padded sequences. More
    /// than it has are all of them. Several spatial axes count as one, of their product: row by row.
    ///
    /// A dispatch of its own makes a mask of positions of it, in scratch, each time that the step runs.
    Lengths(wgpu::BufferBinding<'a>),
    /// ⌈N · positions / 32⌉ u32 with a bit for each example and position, 1 where it is valid: bit b % 32 of word b / 32,
    /// where b = example · positions + position. Bits beyond the last are ignored.
    Positions(wgpu::BufferBinding<'a>),
}

impl Mask<'_> {
    /// How it says what is valid.
    pub fn kind(&self) -> MaskKind {
        match self {
            Mask::Lengths(_) => MaskKind::Lengths,
            Mask::Positions(_) => MaskKind::Positions,
        }
    }
}

/// A mask, checked.
#[derive(Debug, Clone)]
pub(super) struct BoundMask {
    pub kind: MaskKind,
    pub bound: Bound,
}

impl BoundMask {
    pub fn role(&self) -> Role {
        match self.kind {
            MaskKind::Lengths => Role::Lengths,
            MaskKind::Positions => Role::Mask,
        }
    }

    /// That a step is bound to a mask of the kind that it was prepared for, or to none.
    pub fn check_kind(mask: Option<&Self>, required: Option<MaskKind>) -> Result<(), PrepareError> {
        let given = mask.map(|mask| mask.kind);
        match given == required {
            true => Ok(()),
            false => Err(PrepareError::OtherMask { required, given }),
        }
    }
}

impl BatchNorm {
    pub(super) fn bound_mask(&self, mask: &Mask<'_>, shape: Shape) -> Result<BoundMask, PrepareError> {
        let (tensor, binding, words) = match mask {
            Mask::Lengths(binding) => (Tensor::Lengths, binding, shape.batch().into()),
            Mask::Positions(binding) => (Tensor::Mask, binding, mask_words(shape)),
        };
        Ok(BoundMask { kind: mask.kind(), bound: self.bound(tensor, binding, words * 4)? })
    }
}
