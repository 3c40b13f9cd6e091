//! Backward: the gradients of a forward step.

use super::backward_tensors::{Other, Tensors};
use super::mask::BoundMask;
use super::prepared::Prepared;
use super::saved::Forward;
use super::{Backward, BatchNorm, ForwardStep, PrepareError, Statistics, Step};
use crate::kernels::{Constants, Params, Role};
use crate::plan::{Op, Plan, Work};
use crate::tensor::{Bound, Tensor};

/// A prepared backward, or a part of one
/// ([`BatchNorm::prepare_gradient_sums`](crate::BatchNorm::prepare_gradient_sums),
/// [`BatchNorm::prepare_input_gradient`](crate::BatchNorm::prepare_input_gradient)), to be recorded after its forward
/// step, any number of times.
#[derive(Debug)]
pub struct BackwardStep {
    prepared: Prepared,
    gradients: [(Tensor, bool); 4],
    other: Other,
    id: u64,
}

impl BackwardStep {
    /// Records the step's dispatches. Allocates nothing, submits nothing, cannot fail.
    ///
    /// Sets the pass's pipeline and bind groups 0 and 1 and leaves them so. It reads the statistics that the forward step
    /// saved when it last ran, and x: record it after that, before either changes. Nothing can check this order.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.prepared.record(pass);
    }

    /// How it will be done.
    pub fn plan(&self) -> &Plan {
        &self.prepared.plan
    }

    /// Binds other tensors under the same plan, at the cost of bind groups alone; the same gradients must be wanted.
    /// What is accumulated, the plan, and how the activation's input is known stay what they were. The mask is the forward
    /// step's, unless another is given; of the kind that the step was prepared with.
    ///
    /// # Errors
    /// [`PrepareError`] of the bindings; the step stays as it was.
    pub fn rebind(
        &mut self,
        layer: &BatchNorm,
        forward: &ForwardStep,
        backward: Backward<'_>,
    ) -> Result<(), PrepareError> {
        if layer.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        let saved = layer.saved_before(forward, &backward)?;
        let forward = forward.forward().with_saved(saved.as_ref());
        let tensors = layer.backward_tensors(&forward, &backward, |_| self.plan().work(), &self.other)?;
        BoundMask::check_kind(tensors.mask.as_ref(), self.plan().work().mask)?;
        for ((tensor, required), (_, given)) in self.gradients.into_iter().zip(tensors.gradients()) {
            if required != given {
                return Err(PrepareError::OtherTensors { tensor, required });
            }
        }
        self.prepared.bind(&tensors.bindings(forward.saved, &self.other))
    }

    /// Gives what the step holds back to its context, as [`ForwardStep::destroy`](crate::ForwardStep::destroy).
    pub fn destroy(self) {}

    /// The dispatches as data. Not part of the API.
    #[doc(hidden)]
    pub fn dispatches(&self) -> Vec<super::DispatchDescription> {
        self.prepared.dispatches()
    }
}

impl Step for BackwardStep {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record(pass);
    }

    fn plan(&self) -> &Plan {
        self.plan()
    }
}

impl BatchNorm {
    /// Prepares the backward of a forward step of this layer, of the same shape: validates, plans, allocates scratch,
    /// binds.
    ///
    /// The gradients are those of the statistics that normalized: batch statistics take part in dx, running ones are
    /// constants (evaluation, frozen layers), for which dx needs no x. An empty batch has zero gradients.
    ///
    /// # Errors
    /// [`PrepareError`]: a step of another layer, x that the step has overwritten (in place), tensors that are others of
    /// the forward step, and bindings that are too small, misaligned, overlapping, or larger than the device can bind.
    pub fn prepare_backward(
        &self,
        forward: &ForwardStep,
        backward: Backward<'_>,
    ) -> Result<BackwardStep, PrepareError> {
        if forward.plan().op() == Op::Apply {
            return Err(PrepareError::PartOfBatch);
        }
        self.backward_step(forward, backward, None, Other::None)
    }

    /// Checks tensors, plans and binds a backward step; that of a part of a batch, where `part` says so.
    pub(super) fn backward_step(
        &self,
        forward: &ForwardStep,
        backward: Backward<'_>,
        part: Option<Op>,
        other: Other,
    ) -> Result<BackwardStep, PrepareError> {
        let saved = self.saved_before(forward, &backward)?;
        let forward = forward.forward().with_saved(saved.as_ref());
        let of_part = |work: Work| Work { op: part.unwrap_or(work.op), ..work };
        let tensors = self.backward_tensors(&forward, &backward, of_part, &other)?;
        let all = tensors.all().map(|(_, tensor)| tensor);
        let constants = Constants {
            frozen: forward.statistics == Statistics::Running,
            adds_residual: backward.accumulate_residual,
        };
        let params = Params {
            accumulate: backward.accumulate.into(),
            slope: forward.work.epilogue.activation.slope(),
            ..Params::new(self.features(), self.parameter_stride() as u32)
        };
        let bindings = tensors.bindings(forward.saved, &other);
        let prepared = self.planned(tensors.work, forward.shape, all, backward.plan, |plan| {
            Prepared::new(self, plan, params, constants, &bindings)
        })?;
        drop(bindings);
        Ok(BackwardStep { prepared, gradients: tensors.gradients(), other, id: self.id })
    }

    /// What a backward binds, checked: of the forward step's tensors those that the work reads, which `fixed` may have
    /// decided before.
    fn backward_tensors(
        &self,
        forward: &Forward<'_>,
        backward: &Backward<'_>,
        fixed: impl Fn(Work) -> Work,
        other: &Other,
    ) -> Result<Tensors, PrepareError> {
        if forward.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        if backward.residual_gradient.is_some() && forward.residual.is_none() {
            return Err(PrepareError::NoResidual);
        }
        let (shape, work) = (forward.shape, forward.work);
        let tensor = |tensor, binding: &_| self.tensor(tensor, binding, shape, work);
        let optional =
            |of, binding: &Option<_>| binding.as_ref().map(|binding| tensor(of, binding)).transpose();
        let [weight_gradient, bias_gradient] = self.parameter_gradients(
            [&backward.weight_gradient, &backward.bias_gradient],
            &backward.parameter_gradients,
        )?;
        let mut tensors = Tensors {
            work,
            output_gradient: tensor(Tensor::OutputGradient, &backward.output_gradient)?,
            input: None,
            output: None,
            residual: None,
            mask: self.backward_mask(forward, backward)?,
            input_gradient: optional(Tensor::InputGradient, &backward.input_gradient)?,
            residual_gradient: optional(Tensor::ResidualGradient, &backward.residual_gradient)?,
            weight_gradient,
            bias_gradient,
        };
        let accumulate = backward.accumulate_residual;
        tensors.work = fixed(tensors.work_of(forward, backward.pre_activation, accumulate));
        for tensor in tensors.work.kept() {
            let (given, forwards) = match tensor {
                Tensor::Residual => (&backward.residual, forward.residual),
                Tensor::Output => (&backward.output, Some(forward.output)),
                _ => (&backward.input, Some(forward.input)),
            };
            if let Some(forwards) = forwards {
                let kept = forward.kept(forwards, optional(tensor, given)?, &tensors.output_gradient)?;
                *tensors.kept_mut(tensor) = Some(kept);
            }
        }
        tensors.check_gradients(forward, accumulate, other)?;
        Ok(tensors)
    }

    /// What an earlier run of the forward step saved, checked.
    fn saved_before(
        &self,
        forward: &ForwardStep,
        backward: &Backward<'_>,
    ) -> Result<Option<(Role, Bound)>, PrepareError> {
        let Some(saved) = &backward.saved else { return Ok(None) };
        let bound = self.bound(Tensor::SavedStatistics, saved, forward.saved_bytes(self))?;
        Ok(Some((Role::Saved, bound)))
    }

    /// The mask as backward reads it.
    fn backward_mask(
        &self,
        forward: &Forward<'_>,
        backward: &Backward<'_>,
    ) -> Result<Option<BoundMask>, PrepareError> {
        match (&backward.mask, forward.mask) {
            (None, of_forward) => Ok(of_forward.cloned()),
            (Some(mask), Some(_)) => Ok(Some(self.bound_mask(mask, forward.shape)?)),
            (Some(mask), None) => Err(PrepareError::OtherMask { required: None, given: Some(mask.kind()) }),
        }
    }

    /// The gradients of weight and bias, each by itself or both in one range.
    pub(super) fn parameter_gradients(
        &self,
        [weight, bias]: [&Option<wgpu::BufferBinding<'_>>; 2],
        both: &Option<wgpu::BufferBinding<'_>>,
    ) -> Result<[Option<Bound>; 2], PrepareError> {
        let (vector, stride) = (self.vector_bytes(), self.parameter_stride() * 4);
        let (has_weight, has_bias) = (self.descriptor.weight, self.descriptor.bias);
        let gradient = |tensor, has: bool, single: &Option<wgpu::BufferBinding<'_>>, skip: u64| {
            let part = both.as_ref().map(|both| wgpu::BufferBinding {
                buffer: both.buffer,
                offset: both.offset + skip,
                size: both
                    .size
                    .and_then(|size| std::num::NonZeroU64::new(size.get().saturating_sub(skip).max(1))),
            });
            match single.as_ref().or(part.as_ref()) {
                Some(_) if !has => Err(PrepareError::NoParameter { tensor }),
                Some(binding) => self.bound(tensor, binding, vector).map(Some),
                None => Ok(None),
            }
        };
        Ok([
            gradient(Tensor::WeightGradient, has_weight, weight, 0)?,
            gradient(Tensor::BiasGradient, has_bias, bias, stride)?,
        ])
    }
}
