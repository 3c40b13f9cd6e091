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
    /// Examples of a virtual batch, where the statistics are not those of the whole batch.
    pub virtual_batch: Option<u32>,
}

impl From<Op> for Work {
    fn from(op: Op) -> Self {
        Self { op, storage: StorageType::default(), epilogue: Epilogue::default(), virtual_batch: None }
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

    /// With statistics of so many examples at a time.
    pub fn virtual_batch(self, examples: Option<u32>) -> Self {
        Self { virtual_batch: examples, ..self }
    }

    /// Bytes of one tensor.
    pub(crate) fn bytes(&self, shape: Shape) -> u64 {
        shape.bytes_of(self.storage)
    }

    /// Bytes of a row of the tensor's view.
    pub(crate) fn row_bytes(&self, shape: Shape) -> u64 {
        shape.row().saturating_mul(self.storage.bytes())
    }

    /// Tensors that are read to be summed up, where it reduces, and else to make another.
    pub(crate) fn inputs(&self) -> u32 {
        let two = matches!(self.op, Op::Backward { reduce: true, .. } | Op::GradientSums | Op::InputGradient);
        if two { 2 } else { 1 }
    }
}
