//! What a plan is for.

use super::{Activation, ActivationError, Epilogue, Op, PreActivation, ResidualGradient};
use crate::tensor::{Shape, StorageType, Tensor};

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
    /// How backward knows what the activation was given; `None` for what reads the fewest tensors.
    pub pre_activation: Option<PreActivation>,
    /// Whether backward gives the residual's gradient, too.
    pub residual_gradient: Option<ResidualGradient>,
    /// Whether the layer's vectors stand in buffers of their own ([`LayerBuffers`](crate::LayerBuffers)), each a binding.
    pub separate_vectors: bool,
    /// The mask, where there is one.
    pub mask: Option<MaskKind>,
    /// Whether a training step skips and counts features whose statistics are not finite.
    pub guard: bool,
    /// Whether a flag of the caller's decides that running statistics move.
    pub commit: bool,
    /// Examples of a virtual batch, where the statistics are not those of the whole batch.
    pub virtual_batch: Option<u32>,
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
            pre_activation: None,
            residual_gradient: None,
            separate_vectors: false,
            mask: None,
            guard: false,
            commit: false,
            virtual_batch: None,
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

    /// With backward knowing so what the activation was given.
    pub fn pre_activation(self, pre_activation: PreActivation) -> Self {
        Self { pre_activation: Some(pre_activation), ..self }
    }

    /// With the residual's gradient, too.
    pub fn residual_gradient(self, gradient: ResidualGradient) -> Self {
        Self { residual_gradient: Some(gradient), ..self }
    }

    /// With each of the layer's vectors in a binding of its own, or not.
    pub fn separate_vectors(self, separate_vectors: bool) -> Self {
        Self { separate_vectors, ..self }
    }

    /// With statistics of so many examples at a time.
    pub fn virtual_batch(self, examples: Option<u32>) -> Self {
        Self { virtual_batch: examples, ..self }
    }

    /// With a mask, or without.
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

    /// Bytes of one tensor.
    pub(crate) fn bytes(&self, shape: Shape) -> u64 {
        shape.bytes_of(self.storage)
    }

    /// That its activation is one that a kernel can have.
    pub(crate) fn validate(&self) -> Result<(), ActivationError> {
        let activation = self.epilogue.activation;
        activation.validate()?;
        match self.finds_by() {
            Some(PreActivation::SignOfOutput) if !activation.keeps_sign() => {
                Err(ActivationError::Sign { given: activation })
            }
            _ => Ok(()),
        }
    }

    /// Whether it writes a tensor.
    pub(crate) fn applies(&self) -> bool {
        self.op.applies() || self.gives_residual_gradient().is_some()
    }

    /// How backward knows what the activation was given; nothing where it need not know, and forward.
    ///
    /// Where x is read for x̂, it is there: then y would be one tensor more, but in the place of a residual. Where not, y is
    /// as good as x, and there even if it has taken the place of x.
    pub(crate) fn finds_by(&self) -> Option<PreActivation> {
        let Epilogue { activation, residual } = self.epilogue;
        if !self.op.is_backward() || activation == Activation::Identity {
            return None;
        }
        let by_sign = activation.keeps_sign() && (residual || !self.op.reads_input());
        let default = if by_sign { PreActivation::SignOfOutput } else { PreActivation::Recomputed };
        Some(self.pre_activation.unwrap_or(default))
    }

    /// The tensors of the forward step that backward reads.
    pub(crate) fn kept(&self) -> Vec<Tensor> {
        let by = self.finds_by();
        let recomputes = by == Some(PreActivation::Recomputed);
        let all = [
            (Tensor::Input, self.op.reads_input() || recomputes),
            (Tensor::Residual, recomputes && self.epilogue.residual),
            (Tensor::Output, by == Some(PreActivation::SignOfOutput)),
        ];
        all.into_iter().filter(|(_, keeps)| *keeps).map(|(tensor, _)| tensor).collect()
    }

    /// Tensors that are read to be summed up.
    pub(crate) fn reduced(&self) -> u32 {
        match self.op {
            Op::Backward { reduce: true, .. } | Op::GradientSums => 1 + self.kept().len() as u32,
            _ => u32::from(self.op.reduces()),
        }
    }

    /// Tensors that are read to make others of them, which those that are summed up are among.
    pub(crate) fn applied(&self) -> u32 {
        1 + self.kept().len() as u32
    }

    /// Tensors that are read only where others are made: a residual, and a gradient that is added to.
    pub(crate) fn applied_alone(&self) -> u32 {
        let residual = !self.op.is_backward() && self.epilogue.residual;
        u32::from(residual) + u32::from(self.gives_residual_gradient() == Some(ResidualGradient::Add))
    }

    /// What becomes of the residual's gradient, in work that can give it.
    pub(crate) fn gives_residual_gradient(&self) -> Option<ResidualGradient> {
        let gives = matches!(self.op, Op::Backward { .. } | Op::InputGradient);
        self.residual_gradient.filter(|_| gives && self.epilogue.residual)
    }

    /// Tensors that are written.
    pub(crate) fn written(&self) -> u32 {
        u32::from(self.op.applies()) + u32::from(self.gives_residual_gradient().is_some())
    }

    /// Packets that an invocation of the persistent path holds for each that it loads of a tensor.
    pub(crate) fn held(&self) -> u32 {
        if self.op.is_backward() { 2 } else { 1 }
    }

    /// Bytes of a row of the tensor's view.
    pub(crate) fn row_bytes(&self, shape: Shape) -> u64 {
        shape.row().saturating_mul(self.storage.bytes())
    }
}
