//! Backward: the gradients of a forward step.

use super::mask::BoundMask;
use super::prepared::{Bindings, Prepared, bindings_of};
use super::saved::Forward;
use super::{BatchNorm, ForwardStep, Mask, PrepareError, Statistics, Step};
use crate::kernels::{Params, Role};
use crate::plan::{Op, Plan, PlanRequest, Work};
use crate::tensor::{BindingError, Bound, Tensor, check_overlaps};

/// The tensors of a backward step. Offsets, usage and storage type as the forward step's: see
/// [`Training`](crate::Training).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backward<'a> {
    output_gradient: wgpu::BufferBinding<'a>,
    input: Option<wgpu::BufferBinding<'a>>,
    mask: Option<Mask<'a>>,
    input_gradient: Option<wgpu::BufferBinding<'a>>,
    weight_gradient: Option<wgpu::BufferBinding<'a>>,
    bias_gradient: Option<wgpu::BufferBinding<'a>>,
    parameter_gradients: Option<wgpu::BufferBinding<'a>>,
    accumulate: bool,
    plan: PlanRequest,
}

impl<'a> Backward<'a> {
    /// The backward of dy, the gradient of the loss with respect to y. No gradient is wanted yet: say which.
    pub fn of(output_gradient: wgpu::BufferBinding<'a>) -> Self {
        Self {
            output_gradient,
            input: None,
            mask: None,
            input_gradient: None,
            weight_gradient: None,
            bias_gradient: None,
            parameter_gradients: None,
            accumulate: false,
            plan: PlanRequest::default(),
        }
    }

    /// x, where it is not where the forward step read it: after an in-place forward, a copy that was made before.
    pub fn input(self, input: wgpu::BufferBinding<'a>) -> Self {
        Self { input: Some(input), ..self }
    }

    /// The mask, where it is not where the forward step reads it: a copy of what was there when the forward ran. Of either
    /// kind; the forward step must have a mask too. Where it says that a value is not valid, dy counts as 0.
    pub fn mask(self, mask: Mask<'a>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// dx, to be written; the same range as dy to work in place, or one that overlaps nothing. Leave it out where nothing
    /// before the layer learns.
    pub fn input_gradient(self, gradient: wgpu::BufferBinding<'a>) -> Self {
        Self { input_gradient: Some(gradient), ..self }
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

    /// Whether to add to the gradients of weight and bias instead of overwriting them.
    pub fn accumulate(self, accumulate: bool) -> Self {
        Self { accumulate, ..self }
    }

    /// What to fix of the plan.
    pub fn plan(self, plan: PlanRequest) -> Self {
        Self { plan, ..self }
    }
}

/// The tensors of a backward step, checked.
struct Tensors {
    output_gradient: Bound,
    input: Option<Bound>,
    mask: Option<BoundMask>,
    input_gradient: Option<Bound>,
    weight_gradient: Option<Bound>,
    bias_gradient: Option<Bound>,
}

impl Tensors {
    fn op(&self, statistics: Statistics) -> Op {
        let learns = self.weight_gradient.is_some() || self.bias_gradient.is_some();
        let apply = self.input_gradient.is_some();
        Op::Backward { reduce: learns || (apply && statistics == Statistics::Batch), apply }
    }

    fn bindings<'a>(&'a self, saved: &wgpu::BufferBinding<'a>) -> Bindings<'a> {
        let tensors = [
            (Role::OutputGradient, Some(&self.output_gradient)),
            (Role::Input, self.input.as_ref()),
            (Role::InputGradient, self.input_gradient.as_ref()),
            (Role::WeightGradient, self.weight_gradient.as_ref()),
            (Role::BiasGradient, self.bias_gradient.as_ref()),
        ];
        let mut bindings = bindings_of(tensors.into_iter().filter_map(|(role, bound)| Some((role, bound?))));
        bindings.extend(bindings_of(self.mask.iter().map(|mask| (mask.role(), &mask.bound))));
        bindings.push((Role::Saved, saved.clone()));
        bindings
    }

    /// That gradients overlap nothing else: none of the layer's vectors either, nor what the forward step saved.
    fn check_gradients(&self, forward: &Forward<'_>) -> Result<(), BindingError> {
        let parameters = [&self.weight_gradient, &self.bias_gradient].into_iter().flatten();
        let written = self.input_gradient.iter().chain(parameters).filter(|bound| bound.bytes > 0);
        let mask = self.mask.iter().map(|mask| &mask.bound);
        let tensors =
            self.input.iter().chain([&self.output_gradient]).chain(mask).filter(|bound| bound.bytes > 0);
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

/// A prepared backward, to be recorded after its forward step, any number of times.
#[derive(Debug)]
pub struct BackwardStep {
    prepared: Prepared,
    gradients: [(Tensor, bool); 3],
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
    /// `accumulate` and `plan` stay what they were. The mask is the forward step's, unless another is given, of the kind that
    /// the step was prepared with.
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
        let tensors = layer.backward_tensors(&forward, &backward)?;
        for ((tensor, required), (_, given)) in self.gradients.into_iter().zip(tensors.gradients()) {
            if required != given {
                return Err(PrepareError::OtherGradients { tensor, required });
            }
        }
        BoundMask::check_kind(tensors.mask.as_ref().map(|mask| mask.kind), self.plan().work().mask)?;
        self.prepared.bind(&tensors.bindings(&forward.saved))
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
        let (accumulate, request) = (backward.accumulate, backward.plan);
        let forward = forward.forward();
        let tensors = self.backward_tensors(&forward, &backward)?;
        let op = tensors.op(forward.statistics);
        let mask = tensors.mask.as_ref().map(|mask| mask.kind);
        let work = Work::from(op).storage(forward.storage).mask(mask);
        let plan = Plan::new(self.context.profile(), work, forward.shape, request)?;
        let frozen = forward.statistics == Statistics::Running;
        let params = Params {
            accumulate: accumulate.into(),
            ..Params::new(self.features(), self.parameter_stride() as u32)
        };
        let prepared = Prepared::new(self, plan, params, frozen, &tensors.bindings(&forward.saved))?;
        Ok(BackwardStep { prepared, gradients: tensors.gradients(), id: self.id })
    }

    fn backward_tensors(
        &self,
        forward: &Forward<'_>,
        backward: &Backward<'_>,
    ) -> Result<Tensors, PrepareError> {
        if forward.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        let bytes = forward.shape.bytes_of(forward.storage);
        let optional = |tensor, binding: &Option<wgpu::BufferBinding<'_>>, bytes| {
            binding.as_ref().map(|binding| self.bound(tensor, binding, bytes)).transpose()
        };
        let [weight_gradient, bias_gradient] = self.parameter_gradients(backward)?;
        let mut tensors = Tensors {
            output_gradient: self.bound(Tensor::OutputGradient, &backward.output_gradient, bytes)?,
            input: None,
            mask: self.backward_mask(forward, backward)?,
            input_gradient: optional(Tensor::InputGradient, &backward.input_gradient, bytes)?,
            weight_gradient,
            bias_gradient,
        };
        if matches!(tensors.op(forward.statistics), Op::Backward { reduce: true, .. }) {
            let given = optional(Tensor::Input, &backward.input, bytes)?;
            tensors.input = Some(self.backward_input(forward, given, &tensors.output_gradient)?);
        }
        tensors.check_gradients(forward)?;
        Ok(tensors)
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

    fn parameter_gradients(&self, backward: &Backward<'_>) -> Result<[Option<Bound>; 2], PrepareError> {
        let (vector, stride) = (self.vector_bytes(), self.parameter_stride() * 4);
        let (has_weight, has_bias) = (self.descriptor.weight, self.descriptor.bias);
        let gradient = |tensor, has: bool, single: &Option<wgpu::BufferBinding<'_>>, skip: u64| {
            let part = backward.parameter_gradients.as_ref().map(|both| wgpu::BufferBinding {
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
            gradient(Tensor::WeightGradient, has_weight, &backward.weight_gradient, 0)?,
            gradient(Tensor::BiasGradient, has_bias, &backward.bias_gradient, stride)?,
        ])
    }

    /// x as backward reads it.
    fn backward_input(
        &self,
        forward: &Forward<'_>,
        given: Option<Bound>,
        output_gradient: &Bound,
    ) -> Result<Bound, PrepareError> {
        let in_place = forward.input.same_range(forward.output);
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
