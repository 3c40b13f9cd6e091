//! Backward: the gradients of a forward step.

use std::sync::Arc;

use super::bindings::{Bindings, Source, ranges, tensors};
use super::prepared::Prepared;
use super::saved::Forward;
use super::{BatchNorm, ForwardStep, PrepareError, Statistics, Step};
use crate::kernels::{Params, Range, Role};
use crate::plan::{Op, Plan, PlanRequest, Work};
use crate::tensor::{BindingError, Bound, BoundTensor, Tensor, TensorBinding, check_overlaps};

/// The tensors of a backward step. Offsets and usage as [`Training`](crate::Training)'s.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backward<'a> {
    output_gradient: TensorBinding<'a>,
    input: Option<TensorBinding<'a>>,
    input_gradient: Option<TensorBinding<'a>>,
    weight_gradient: Option<wgpu::BufferBinding<'a>>,
    bias_gradient: Option<wgpu::BufferBinding<'a>>,
    parameter_gradients: Option<wgpu::BufferBinding<'a>>,
    accumulate: bool,
    plan: PlanRequest,
}

impl<'a> Backward<'a> {
    /// The backward of dy, the gradient of the loss with respect to y. No gradient is wanted yet: say which.
    pub fn of(output_gradient: impl Into<TensorBinding<'a>>) -> Self {
        Self {
            output_gradient: output_gradient.into(),
            input: None,
            input_gradient: None,
            weight_gradient: None,
            bias_gradient: None,
            parameter_gradients: None,
            accumulate: false,
            plan: PlanRequest::default(),
        }
    }

    /// x, where it is not where the forward step read it: after an in-place forward, a copy that was made before.
    pub fn input(self, input: impl Into<TensorBinding<'a>>) -> Self {
        Self { input: Some(input.into()), ..self }
    }

    /// dx, to be written; the same range as dy to work in place, or one that overlaps nothing. Leave it out where nothing
    /// before the layer learns.
    pub fn input_gradient(self, gradient: impl Into<TensorBinding<'a>>) -> Self {
        Self { input_gradient: Some(gradient.into()), ..self }
    }

    /// The weight's gradient, C float32.
    pub fn weight_gradient(self, gradient: wgpu::BufferBinding<'a>) -> Self {
        Self { weight_gradient: Some(gradient), ..self }
    }

    /// The bias's gradient, C float32.
    pub fn bias_gradient(self, gradient: wgpu::BufferBinding<'a>) -> Self {
        Self { bias_gradient: Some(gradient), ..self }
    }

    /// Both, in the layout of [`BatchNorm::parameters`]: the weight's gradient first, the bias's
    /// [`BatchNorm::parameter_stride`] float32 later. Nothing is written between.
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

/// The tensors of a backward step, checked.
struct Tensors {
    work: Work,
    output_gradient: BoundTensor,
    input: Option<BoundTensor>,
    input_gradient: Option<BoundTensor>,
    weight_gradient: Option<Bound>,
    bias_gradient: Option<Bound>,
}

impl Tensors {
    fn all(&self) -> impl Iterator<Item = (Role, &BoundTensor)> {
        let tensors = [
            (Role::OutputGradient, Some(&self.output_gradient)),
            (Role::Input, self.input.as_ref()),
            (Role::InputGradient, self.input_gradient.as_ref()),
        ];
        tensors.into_iter().filter_map(|(role, tensor)| Some((role, tensor?)))
    }

    fn parameter_gradients(&self) -> impl Iterator<Item = (Role, &Bound)> {
        let gradients = [
            (Role::WeightGradient, self.weight_gradient.as_ref()),
            (Role::BiasGradient, self.bias_gradient.as_ref()),
        ];
        gradients.into_iter().filter_map(|(role, bound)| Some((role, bound?)))
    }

    fn bindings<'a>(&'a self, saved: wgpu::BufferBinding<'a>, other: &'a Other) -> Bindings<'a> {
        tensors(self.all())
            .chain(ranges(self.parameter_gradients()))
            .chain([(Role::Saved, Source::Range(saved))])
            .chain(other.source())
            .collect()
    }

    /// That gradients overlap nothing else: none of the layer's vectors either, nor what the forward step saved.
    fn check_gradients(&self, forward: &Forward<'_>, other: &Other) -> Result<(), BindingError> {
        let gradients = self.input_gradient.iter().flat_map(BoundTensor::bounds);
        let parameters = self.parameter_gradients().map(|(_, bound)| bound);
        let written = gradients.chain(parameters).chain(other.record());
        let tensors = self.input.iter().chain([&self.output_gradient]).flat_map(BoundTensor::bounds);
        let read = tensors.chain(forward.vectors.iter().map(|(_, bound)| bound));
        let in_place = Some((Tensor::OutputGradient, Tensor::InputGradient));
        check_overlaps(&written.collect::<Vec<_>>(), &read.collect::<Vec<_>>(), in_place)
    }

    fn gradients(&self) -> [(Tensor, bool); 3] {
        [
            (Tensor::InputGradient, self.input_gradient.is_some()),
            (Tensor::WeightGradient, self.weight_gradient.is_some()),
            (Tensor::BiasGradient, self.bias_gradient.is_some()),
        ]
    }
}

/// What a step of a part of a batch binds beside its tensors.
#[derive(Debug)]
pub(super) enum Other {
    None,
    /// The record that gradient sums go to.
    Record(Bound),
    /// What finalizing them left for dx.
    Means(Arc<Range>),
}

impl Other {
    fn record(&self) -> Option<&Bound> {
        match self {
            Self::Record(bound) => Some(bound),
            _ => None,
        }
    }

    fn source(&self) -> Option<(Role, Source<'_>)> {
        match self {
            Self::None => None,
            Self::Record(bound) => Some((Role::Record, Source::Range(bound.binding()))),
            Self::Means(range) => Some((Role::Means, Source::Range(range.binding()))),
        }
    }
}

/// A prepared backward, or a part of one
/// ([`BatchNorm::prepare_gradient_sums`](crate::BatchNorm::prepare_gradient_sums),
/// [`BatchNorm::prepare_input_gradient`](crate::BatchNorm::prepare_input_gradient)), to be recorded after its forward step, any number of times.
#[derive(Debug)]
pub struct BackwardStep {
    prepared: Prepared,
    gradients: [(Tensor, bool); 3],
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
    /// `accumulate` and `plan` stay what they were.
    ///
    /// # Errors
    /// [`PrepareError`] of the bindings; the step stays as it was.
    pub fn rebind(
        &mut self,
        layer: &BatchNorm,
        forward: &ForwardStep,
        backward: Backward<'_>,
    ) -> Result<(), PrepareError> {
        let forward = forward.forward();
        if layer.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        let tensors = layer.backward_tensors(&forward, &backward, part(self.plan().op()), &self.other)?;
        for ((tensor, required), (_, given)) in self.gradients.into_iter().zip(tensors.gradients()) {
            if required != given {
                return Err(PrepareError::OtherGradients { tensor, required });
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

/// What a step of this kind is of, where it is that of a part of a batch.
fn part(op: Op) -> Option<Op> {
    (!matches!(op, Op::Backward { .. })).then_some(op)
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
        let (accumulate, request) = (backward.accumulate, backward.plan);
        let forward = forward.forward();
        let tensors = self.backward_tensors(&forward, &backward, part, &other)?;
        let all = tensors.all().map(|(_, tensor)| tensor);
        let plan = self.plan(tensors.work, forward.shape, all, request)?;
        let frozen = forward.statistics == Statistics::Running;
        let params = Params {
            accumulate: accumulate.into(),
            ..Params::new(self.features(), self.parameter_stride() as u32)
        };
        let prepared = Prepared::new(self, plan, params, frozen, &tensors.bindings(forward.saved, &other))?;
        Ok(BackwardStep { prepared, gradients: tensors.gradients(), other, id: self.id })
    }

    fn backward_tensors(
        &self,
        forward: &Forward<'_>,
        backward: &Backward<'_>,
        part: Option<Op>,
        other: &Other,
    ) -> Result<Tensors, PrepareError> {
        if forward.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        let (shape, work) = (forward.shape, forward.work);
        let tensor = |tensor, binding: &_| self.tensor(tensor, binding, shape, work);
        let optional =
            |of, binding: &Option<_>| binding.as_ref().map(|binding| tensor(of, binding)).transpose();
        let [weight_gradient, bias_gradient] = self.parameter_gradients(
            [&backward.weight_gradient, &backward.bias_gradient],
            &backward.parameter_gradients,
        )?;
        let input_gradient = optional(Tensor::InputGradient, &backward.input_gradient)?;
        let learns = weight_gradient.is_some() || bias_gradient.is_some();
        let apply = input_gradient.is_some();
        let reduce = learns || (apply && forward.statistics == Statistics::Batch);
        let op = part.unwrap_or(Op::Backward { reduce, apply });
        let mut tensors = Tensors {
            work: Work { op, ..work },
            output_gradient: tensor(Tensor::OutputGradient, &backward.output_gradient)?,
            input: None,
            input_gradient,
            weight_gradient,
            bias_gradient,
        };
        if op.reduces() || op == Op::InputGradient {
            let given = optional(Tensor::Input, &backward.input)?;
            tensors.input = Some(self.backward_input(forward, given, &tensors.output_gradient)?);
        }
        tensors.check_gradients(forward, other)?;
        Ok(tensors)
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

    /// x as backward reads it.
    fn backward_input(
        &self,
        forward: &Forward<'_>,
        given: Option<BoundTensor>,
        output_gradient: &BoundTensor,
    ) -> Result<BoundTensor, PrepareError> {
        let in_place = forward.input.same_ranges(forward.output);
        let input = given.unwrap_or_else(|| forward.input.clone());
        if input.overlaps(forward.output) {
            return Err(match in_place {
                true => PrepareError::Overwritten,
                false => PrepareError::ForwardsTensor { tensor: Tensor::Input, given: Tensor::Output },
            });
        }
        // A copy of x may be dy, too.
        if output_gradient.overlaps(&input) && input.overlaps(forward.input) {
            return Err(PrepareError::ForwardsTensor {
                tensor: Tensor::OutputGradient,
                given: Tensor::Input,
            });
        }
        Ok(input)
    }
}
