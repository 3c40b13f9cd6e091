//! What a plan is for.

use super::{Epilogue, Op};
use crate::tensor::{Shape, StorageType};

/// What a step is to do: the operation, how its tensors are stored, and what is fused. An [`Op`] alone is work on float32
/// tensors with nothing fused.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Work {
    /// The operation.
    pub op: Op,
    /// How the values of x, y, z and their gradients lie in memory.
    pub storage: StorageType,
    /// What is fused after the affine step.
    pub epilogue: Epilogue,
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
        Self { op, storage: StorageType::default(), epilogue: Epilogue::default() }
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

    /// Bytes of one tensor.
    pub(crate) fn bytes(&self, shape: Shape) -> u64 {
        shape.bytes_of(self.storage)
    }

    /// Tensors that are read to be summed up, where it reduces, and else to make another.
    pub(crate) fn inputs(&self) -> u32 {
        if matches!(self.op, Op::Backward { reduce: true, .. }) { 2 } else { 1 }
    }
}
