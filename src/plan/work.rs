//! What a plan is for.

use super::{Epilogue, Op};
use crate::tensor::{Shape, StorageType};

/// How a mask says which values are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MaskKind {
    /// A length per example. One dispatch more makes a mask of positions of it.
    Lengths,
    /// A bit per example and position.
    Positions,
}

/// What a step is to do: the operation, how its tensors are stored, what is fused, and what is bound beside. An [`Op`] alone
/// is work on float32 tensors with nothing fused.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Work {
    /// The operation.
    pub op: Op,
    /// How the values of x, y, z and their gradients lie in memory.
    pub storage: StorageType,
    /// What is fused after the affine step.
    pub epilogue: Epilogue,
    /// The mask, where there is one.
    pub mask: Option<MaskKind>,
    /// Whether a training step skips and counts features whose statistics are not finite.
    pub guard: bool,
    /// Whether a flag of the caller's decides that running statistics move.
    pub commit: bool,
    /// Whether the layer's vectors stand in buffers of their own ([`LayerBuffers`](crate::LayerBuffers)), each a binding.
    pub separate_vectors: bool,
}

/// How values lie in memory, and how kernels get at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Stored {
    pub storage: StorageType,
    /// Whether a kernel reads and writes two bytes at a time, in packets of one value. If not, two values share a word,
    /// which is written by atomics, since its other half may be another invocation's.
    pub half_access: bool,
}

impl Stored {
    /// Every way there is, float32 first.
    pub const ALL: [Self; 4] = [
        Self { storage: StorageType::Float32, half_access: false },
        Self { storage: StorageType::Float16, half_access: false },
        Self { storage: StorageType::Float16, half_access: true },
        Self { storage: StorageType::BFloat16, half_access: false },
    ];
}

impl From<Op> for Work {
    fn from(op: Op) -> Self {
        Self {
            op,
            storage: StorageType::default(),
            epilogue: Epilogue::default(),
            mask: None,
            guard: false,
            commit: false,
            separate_vectors: false,
        }
    }
}

impl Work {
    /// With tensors stored so.
    pub fn storage(self, storage: StorageType) -> Self {
        Self { storage, ..self }
    }

    /// With this fused after the affine step.
    pub fn epilogue(self, epilogue: Epilogue) -> Self {
        Self { epilogue, ..self }
    }

    /// With a mask.
    pub fn mask(self, mask: impl Into<Option<MaskKind>>) -> Self {
        Self { mask: mask.into(), ..self }
    }

    /// With a guard, or without.
    pub fn guard(self, guard: bool) -> Self {
        Self { guard, ..self }
    }

    /// With a flag of the caller's, or without.
    pub fn commit(self, commit: bool) -> Self {
        Self { commit, ..self }
    }

    /// With each of the layer's vectors in a binding of its own, or not.
    pub fn separate_vectors(self, separate_vectors: bool) -> Self {
        Self { separate_vectors, ..self }
    }

    /// Bytes of one tensor.
    pub(crate) fn bytes(&self, shape: Shape) -> u64 {
        shape.bytes_of(self.storage)
    }

    /// Tensors that are read to be summed up, where it reduces, and else to make another.
    pub(crate) fn inputs(&self) -> u32 {
        if matches!(self.op, Op::Backward { reduce: true, .. }) { 2 } else { 1 }
    }
}
