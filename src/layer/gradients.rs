//! What backward steps are asked for.

use super::{Mask, PrepareError};
use crate::plan::{PlanRequest, PreActivation};
use crate::tensor::{Tensor, TensorBinding};

/// The tensors of a backward step. Offsets, usage and storage type as the forward step's: see
/// [`Training`](crate::Training).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backward<'a> {
    pub(super) output_gradient: TensorBinding<'a>,
    pub(super) input: Option<TensorBinding<'a>>,
    pub(super) output: Option<TensorBinding<'a>>,
    pub(super) residual: Option<TensorBinding<'a>>,
    pub(super) saved: Option<wgpu::BufferBinding<'a>>,
    pub(super) mask: Option<Mask<'a>>,
    pub(super) pre_activation: Option<PreActivation>,
    pub(super) input_gradient: Option<TensorBinding<'a>>,
    pub(super) residual_gradient: Option<TensorBinding<'a>>,
    pub(super) weight_gradient: Option<wgpu::BufferBinding<'a>>,
    pub(super) bias_gradient: Option<wgpu::BufferBinding<'a>>,
    pub(super) parameter_gradients: Option<wgpu::BufferBinding<'a>>,
    pub(super) accumulate: bool,
    pub(super) accumulate_residual: bool,
    pub(super) plan: PlanRequest,
}

impl<'a> Backward<'a> {
    /// The backward of dy, the gradient of the loss with respect to y. No gradient is wanted yet: say which.
    pub fn of(output_gradient: impl Into<TensorBinding<'a>>) -> Self {
        Self {
            output_gradient: output_gradient.into(),
            input: None,
            output: None,
            residual: None,
            saved: None,
            mask: None,
            pre_activation: None,
            input_gradient: None,
            residual_gradient: None,
            weight_gradient: None,
            bias_gradient: None,
            parameter_gradients: None,
            accumulate: false,
            accumulate_residual: false,
            plan: PlanRequest::default(),
        }
    }

    /// x, where it is not where the forward step read it: after an in-place forward, a copy that was made before.
    pub fn input(self, input: impl Into<TensorBinding<'a>>) -> Self {
        Self { input: Some(input.into()), ..self }
    }

    /// z, where it is not where the forward step read it: a copy, as of x. It is read where
    /// [`Plan::kept`](crate::Plan::kept) says so.
    pub fn residual(self, residual: impl Into<TensorBinding<'a>>) -> Self {
        Self { residual: Some(residual.into()), ..self }
    }

    /// y, where it is not where the forward step wrote it: a copy, as of x. It is read where
    /// [`Plan::kept`](crate::Plan::kept) says so.
    pub fn output(self, output: impl Into<TensorBinding<'a>>) -> Self {
        Self { output: Some(output.into()), ..self }
    }

    /// What the forward step saved when it ran on other tensors than it is bound to now: the range of
    /// [`Training::saved`](crate::Training::saved) of then. What backward reads of that run ([`Plan::kept`](crate::Plan::kept))
    /// must be given too, by [`input`](Self::input) and the like: of the step only what it computes counts, not what it
    /// is bound to.
    pub fn saved(self, saved: wgpu::BufferBinding<'a>) -> Self {
        Self { saved: Some(saved), ..self }
    }

    /// The mask, where it is not where the forward step reads it: a copy of what was there when the forward ran. Of either
    /// kind; the forward step must have a mask too. Where it says that a value is not valid, dy counts as 0.
    pub fn mask(self, mask: Mask<'a>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// How to know what the activation was given. By default, what reads the fewest tensors: x, and the residual, from
    /// which it is computed again; but y for ReLU and leaky ReLU (of a slope of at least 0) where there is a residual, or
    /// where x is not needed for anything else.
    pub fn pre_activation(self, pre_activation: PreActivation) -> Self {
        Self { pre_activation: Some(pre_activation), ..self }
    }

    /// dx, to be written; the same range as dy to work in place, or one that overlaps nothing. Leave it out where nothing
    /// before the layer learns.
    pub fn input_gradient(self, gradient: impl Into<TensorBinding<'a>>) -> Self {
        Self { input_gradient: Some(gradient.into()), ..self }
    }

    /// dz, the gradient of the residual, to be written; the same range as dy to work in place where dx is elsewhere, or one
    /// that overlaps nothing.
    pub fn residual_gradient(self, gradient: impl Into<TensorBinding<'a>>) -> Self {
        Self { residual_gradient: Some(gradient.into()), ..self }
    }

    /// Whether to add to dz instead of overwriting it. It must not take the place of dy then.
    pub fn accumulate_residual(self, accumulate: bool) -> Self {
        Self { accumulate_residual: accumulate, ..self }
    }

    /// The weight's gradient, C float32.
    pub fn weight_gradient(self, gradient: wgpu::BufferBinding<'a>) -> Self {
        Self { weight_gradient: Some(gradient), ..self }
    }

    /// The bias's gradient, C float32.
    pub fn bias_gradient(self, gradient: wgpu::BufferBinding<'a>) -> Self {
        Self { bias_gradient: Some(gradient), ..self }
    }

    /// Both, in the layout of [`BatchNorm::parameters`](crate::BatchNorm::parameters): the weight's gradient first, the bias's
    /// [`BatchNorm::parameter_stride`](crate::BatchNorm::parameter_stride) float32 later. Nothing is written between.
    pub fn parameter_gradients(self, gradients: wgpu::BufferBinding<'a>) -> Self {
        Self { parameter_gradients: Some(gradients), ..self }
    }

    /// Whether to add to the gradients of weight and bias, or to the record of gradient sums, instead of overwriting them.
    pub fn accumulate(self, accumulate: bool) -> Self {
        Self { accumulate, ..self }
    }

    /// That a gradient is not wanted of a step that does not write it.
    pub(super) fn refuse(&self, tensor: Tensor, writes: &'static str) -> Result<(), PrepareError> {
        let wanted = match tensor {
            Tensor::InputGradient => self.input_gradient.is_some(),
            Tensor::ResidualGradient => self.residual_gradient.is_some(),
            Tensor::WeightGradient => self.weight_gradient.is_some() || self.parameter_gradients.is_some(),
            _ => self.bias_gradient.is_some(),
        };
        if wanted { Err(PrepareError::OtherStep { tensor, writes }) } else { Ok(()) }
    }

    /// That dx is there, which is all that a step writes.
    pub(super) fn require_input_gradient(&self) -> Result<(), PrepareError> {
        match self.input_gradient {
            None => Err(PrepareError::NoGradient { tensor: Tensor::InputGradient }),
            Some(_) => Ok(()),
        }
    }

    /// The same of the gradients of weight and bias.
    pub(super) fn refuse_parameters(&self) -> Result<(), PrepareError> {
        let writes = "prepare_finalize_gradients";
        self.refuse(Tensor::WeightGradient, writes)?;
        self.refuse(Tensor::BiasGradient, writes)
    }

    /// What to fix of the plan.
    pub fn plan(self, plan: PlanRequest) -> Self {
        Self { plan, ..self }
    }
}
