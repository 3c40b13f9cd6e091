//! What forward steps are asked for.

use super::{Guard, Mask};
use crate::plan::{Activation, Epilogue, PlanRequest};
use crate::tensor::{StorageType, TensorBinding};

/// Which statistics normalize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Statistics {
    /// Mean and biased variance of the batch.
    #[default]
    Batch,
    /// The running statistics, as they were before the step.
    Running,
}

/// A training step: its tensors, and choices that [`Training::new`] makes as PyTorch's `train()` does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Training<'a> {
    pub(super) input: TensorBinding<'a>,
    pub(super) output: TensorBinding<'a>,
    pub(super) activation: Activation,
    pub(super) residual: Option<TensorBinding<'a>>,
    pub(super) virtual_batch: Option<u32>,
    pub(super) statistics: Statistics,
    pub(super) update_running: bool,
    pub(super) saved: Option<wgpu::BufferBinding<'a>>,
    pub(super) mask: Option<Mask<'a>>,
    pub(super) guard: Guard,
    pub(super) commit: Option<wgpu::BufferBinding<'a>>,
    pub(super) storage: StorageType,
    pub(super) plan: PlanRequest,
}

impl<'a> Training<'a> {
    /// Normalize with batch statistics and move the running ones.
    ///
    /// `input` is x: a `STORAGE` buffer's range that holds the shape's values, float32 unless
    /// [`storage`](Self::storage) says otherwise; its offset a multiple of the device's
    /// `min_storage_buffer_offset_alignment`. `output` is y, likewise; the same range as `input` to work in
    /// place, or one that does not overlap it. Both may also be in several ranges: see [`TensorBinding`].
    pub fn new(input: impl Into<TensorBinding<'a>>, output: impl Into<TensorBinding<'a>>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            activation: Activation::Identity,
            residual: None,
            virtual_batch: None,
            statistics: Statistics::Batch,
            update_running: true,
            saved: None,
            mask: None,
            guard: Guard::None,
            commit: None,
            storage: StorageType::default(),
            plan: PlanRequest::default(),
        }
    }

    /// What is applied to what is normalized: y = activation(bn(x)), in the same dispatches. Backward finds it in the
    /// forward step.
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// z, of x' shape, that is added before the activation: y = activation(bn(x) + z). y may take its place.
    pub fn residual(self, residual: impl Into<TensorBinding<'a>>) -> Self {
        Self { residual: Some(residual.into()), ..self }
    }

    pub(super) fn epilogue(&self) -> Epilogue {
        Epilogue { activation: self.activation, residual: self.residual.is_some() }
    }

    /// Which statistics normalize. [`Statistics::Running`] makes the layer frozen in a network that trains.
    pub fn statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }

    /// Whether the running statistics move and the batch is counted. `false` to compute a forward again (activation
    /// checkpointing), or for a frozen layer. Without effect where the layer does not track.
    pub fn update_running(self, update_running: bool) -> Self {
        Self { update_running, ..self }
    }

    /// Statistics of so many examples at a time, the last virtual batch perhaps of fewer ("ghost batch normalization",
    /// Hoffer, Hubara & Soudry 2017, arXiv 1705.08741). The running statistics move, and the batch is counted, once for
    /// each, in turn: all as if the layer were called for one after the other. Gradients of weight and bias add up.
    pub fn virtual_batch(self, examples: u32) -> Self {
        Self { virtual_batch: Some(examples), ..self }
    }

    /// Where to save what backward needs: [`BatchNorm::saved_bytes`](crate::BatchNorm::saved_bytes) bytes of the
    /// caller's, in place of memory of the context's. Six vectors of C float32, each
    /// [`BatchNorm::parameter_stride`](crate::BatchNorm::parameter_stride) float32 after the one before: the mean as a
    /// float32 and what is missing to it, 1/√(variance + eps), the weight, 1/count (0 in an evaluation, and without a valid
    /// value), and the bias. Of virtual batches, one such record each.
    pub fn saved(self, saved: wgpu::BufferBinding<'a>) -> Self {
        Self { saved: Some(saved), ..self }
    }

    /// Which examples and positions take part. Any number of them may be valid, none too, so that one value per feature is
    /// no error then.
    pub fn mask(self, mask: Mask<'a>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// What becomes of running statistics where those of the batch are not finite.
    pub fn guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// A u32 that the device reads each time the step runs: where it is 0, no running statistic moves, no batch is counted,
    /// and none counts as skipped; y and what is saved are the same. For loss scaling that drops a step after its forward,
    /// and for a forward that is computed again. Without effect where running statistics do not move anyway.
    pub fn commit(self, commit: wgpu::BufferBinding<'a>) -> Self {
        Self { commit: Some(commit), ..self }
    }

    /// How the values of x and y lie in memory, and those of dy and dx in the step's backward. Weight, bias, statistics,
    /// gradients of parameters and all arithmetic are float32. Ranges must hold [`Shape::bytes_of`](crate::Shape::bytes_of)
    /// bytes: a multiple of 4, also where the number of 16-bit values is odd.
    pub fn storage(self, storage: StorageType) -> Self {
        Self { storage, ..self }
    }

    /// What to fix of the plan.
    pub fn plan(self, plan: PlanRequest) -> Self {
        Self { plan, ..self }
    }
}

/// An evaluation: its tensors, as [`Training`]'s.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evaluation<'a> {
    pub(super) input: TensorBinding<'a>,
    pub(super) output: TensorBinding<'a>,
    pub(super) mask: Option<Mask<'a>>,
    pub(super) storage: StorageType,
    pub(super) activation: Activation,
    pub(super) residual: Option<TensorBinding<'a>>,
    pub(super) plan: PlanRequest,
}

/// The same tensors and epilogue, to [rebind](crate::ForwardStep::rebind) a step to: it is evaluation no more.
impl<'a> From<Evaluation<'a>> for Training<'a> {
    fn from(evaluation: Evaluation<'a>) -> Self {
        let Evaluation { input, output, mask, activation, residual, storage, plan } = evaluation;
        Self { mask, activation, residual, storage, plan, ..Self::new(input, output) }
    }
}

impl<'a> Evaluation<'a> {
    /// Normalize with the running statistics, and change nothing of the layer. `input` is x, and `output` y; the same
    /// range as `input` to work in place, or one that does not overlap it.
    pub fn new(input: impl Into<TensorBinding<'a>>, output: impl Into<TensorBinding<'a>>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            mask: None,
            activation: Activation::Identity,
            residual: None,
            storage: StorageType::default(),
            plan: PlanRequest::default(),
        }
    }

    /// Which examples and positions get a y other than 0; which the statistics are of, where the batch's are used.
    pub fn mask(self, mask: Mask<'a>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// How the values of x and y lie in memory, as [`Training::storage`] says.
    pub fn storage(self, storage: StorageType) -> Self {
        Self { storage, ..self }
    }

    /// As [`Training::activation`].
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// As [`Training::residual`].
    pub fn residual(self, residual: impl Into<TensorBinding<'a>>) -> Self {
        Self { residual: Some(residual.into()), ..self }
    }

    /// What to fix of the plan.
    pub fn plan(self, plan: PlanRequest) -> Self {
        Self { plan, ..self }
    }
}
