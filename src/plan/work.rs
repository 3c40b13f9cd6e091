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
