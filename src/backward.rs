//! Backward: the gradients of a forward step.

use crate::binding::{Bound, arrangement};
use crate::error::{PrepareError, Tensor};
use crate::forward::{EvaluationStep, Statistics, TrainingStep};
use crate::kernels::{Kernel, Tensors};
use crate::layer::BatchNorm;
use crate::params::Params;
use crate::plan::{Path, Plan, PlanRequest, Work};
use crate::prepared::{Preparation, Prepared, slot};
use crate::shape::Shape;

/// The tensors of a backward step. Offsets and usage as [`Training`](crate::Training)'s.
#[derive(Debug, Clone)]
pub struct Backward<'a> {
    /// x, as the forward step read it.
    pub input: wgpu::BufferBinding<'a>,
    /// dy, the gradient of the loss with respect to y.
    pub output_gradient: wgpu::BufferBinding<'a>,
    /// dx, to be written; the same range as `output_gradient` to work in place, or one that overlaps nothing. `None`
    /// where nothing before the layer learns.
    pub input_gradient: Option<wgpu::BufferBinding<'a>>,
    /// The weight's gradient, C float32. `None` where it is not wanted, or the layer has no weight.
    pub weight_gradient: Option<wgpu::BufferBinding<'a>>,
    /// The bias's gradient, C float32. `None` where it is not wanted, or the layer has no bias.
    pub bias_gradient: Option<wgpu::BufferBinding<'a>>,
    /// Whether to add to the gradients of weight and bias instead of overwriting them.
    pub accumulate: bool,
    /// What to fix of the plan.
    pub plan: PlanRequest,
}

impl<'a> Backward<'a> {
    /// No gradient yet: fill in those that are wanted.
    pub fn new(input: wgpu::BufferBinding<'a>, output_gradient: wgpu::BufferBinding<'a>) -> Self {
        Self {
            input,
            output_gradient,
            input_gradient: None,
            weight_gradient: None,
            bias_gradient: None,
            accumulate: false,
            plan: PlanRequest::default(),
        }
    }
}

/// A forward step that a backward can be prepared for: [`TrainingStep`] or [`EvaluationStep`].
pub trait Forward: sealed::Forward {}

impl Forward for TrainingStep {}
impl Forward for EvaluationStep {}

pub(crate) mod sealed {
    pub trait Forward {
        fn saved(&self) -> &crate::forward::Saved;
    }
}

/// A prepared backward, to be recorded after its forward step, any number of times.
#[derive(Debug)]
pub struct BackwardStep {
    prepared: Prepared,
}

impl BackwardStep {
    /// Records the step's dispatches. Allocates nothing, submits nothing, cannot fail.
    ///
    /// Sets the pass's pipeline and bind group 0 and leaves them so. It reads the record that the forward step left
    /// when it last ran, and x: record it after that, before either changes. Nothing can check this order.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.prepared.record(pass);
    }

    /// How it will be done.
    pub fn plan(&self) -> &Plan {
        &self.prepared.plan
    }
}

impl BatchNorm {
    /// Prepares the backward of a forward step of this layer: validates, plans, allocates scratch, binds.
    ///
    /// The gradients are those of the statistics that normalized: batch statistics take part in dx, running ones are
    /// constants (evaluation, frozen layers). An empty batch has zero gradients.
    ///
    /// # Errors
    /// [`PrepareError`]: a step of another shape or layer, x that the step has overwritten (in place), and bindings
    /// that are too small, misaligned, overlapping, or larger than the device can bind.
    pub fn prepare_backward(
        &self,
        shape: Shape,
        step: &impl Forward,
        backward: Backward<'_>,
    ) -> Result<BackwardStep, PrepareError> {
        let saved = step.saved();
        shape.validate(self.features())?;
        if saved.layer != self.state {
            return Err(PrepareError::OtherLayer);
        }
        if saved.shape != shape {
            return Err(PrepareError::OtherShape { required: saved.shape, given: shape });
        }
        let machine = self.context.machine();
        let bound =
            |tensor, binding: &wgpu::BufferBinding<'_>, bytes| Bound::new(machine, tensor, binding, bytes);
        let optional = |tensor, binding: &Option<wgpu::BufferBinding<'_>>, bytes| {
            binding.as_ref().map(|binding| bound(tensor, binding, bytes)).transpose()
        };
        let vector = self.vector_bytes();
        let input = bound(Tensor::Input, &backward.input, shape.bytes())?;
        let output_gradient = bound(Tensor::OutputGradient, &backward.output_gradient, shape.bytes())?;
        let input_gradient = optional(Tensor::InputGradient, &backward.input_gradient, shape.bytes())?;
        let weight_gradient = optional(Tensor::WeightGradient, &backward.weight_gradient, vector)?;
        let bias_gradient = optional(Tensor::BiasGradient, &backward.bias_gradient, vector)?;
        for (gradient, has) in
            [(&weight_gradient, self.descriptor.weight), (&bias_gradient, self.descriptor.bias)]
        {
            if let (Some(gradient), false) = (gradient, has) {
                return Err(PrepareError::NoParameter { tensor: gradient.tensor });
            }
        }
        if saved.overwritten.as_ref().is_some_and(|x| x.overlaps(&input)) {
            return Err(PrepareError::Overwritten);
        }
        let written: Vec<&Bound> =
            [&input_gradient, &weight_gradient, &bias_gradient].into_iter().flatten().collect();
        let in_place = input_gradient.is_some().then_some(&output_gradient);
        let tensors = match shape.count() {
            0 => Tensors::Separate,
            _ => arrangement(&written, &[&input, &output_gradient], in_place)?,
        };

        let frozen = saved.statistics == Statistics::Running;
        let parameters = weight_gradient.is_some() || bias_gradient.is_some();
        let apply = input_gradient.is_some();
        let reduce = parameters || (apply && !frozen);
        let plan = Plan::new(machine, Work::Backward { reduce, apply }, shape, backward.plan)?;

        // Gradients that nobody wants are written where nobody looks.
        let (unwanted, unwanted_too) = (self.scratch(1), self.scratch(1));
        let parameter_gradients = [
            (slot::WEIGHT_GRADIENT, bound_or(&weight_gradient, &unwanted)),
            (slot::BIAS_GRADIENT, bound_or(&bias_gradient, &unwanted_too)),
        ];
        let params = Params {
            use_running: frozen.into(),
            accumulate: backward.accumulate.into(),
            ..Params::new(&self.descriptor, self.stride, shape)
        };
        let mut work = Preparation::new(&self.context, self.label.as_deref(), shape, params);
        let read = [(slot::INPUT, input.binding()), (slot::OUTPUT_GRADIENT, output_gradient.binding())];
        let record = [(slot::RECORD, saved.record.as_entire_buffer_binding())];
        // In place, dx is where dy is read.
        let gradients = match (&input_gradient, tensors) {
            (Some(dx), Tensors::InPlace) => vec![read[0].clone(), (slot::OUTPUT, dx.binding())],
            (Some(dx), _) => [&read[..], &[(slot::OUTPUT, dx.binding())]].concat(),
            (None, _) => Vec::new(),
        };
        let partials = self.scratch(plan.partial_vectors());
        let partials = [(slot::PARTIALS, partials.as_entire_buffer_binding())];
        let means = self.scratch(2);
        let means = [(slot::MEANS, means.as_entire_buffer_binding())];
        let merge = [&partials[..], &means, &parameter_gradients].concat();
        match plan.path() {
            Path::Resident => {
                let bindings = [&gradients[..], &record, &parameter_gradients].concat();
                work.over_tensor(Kernel::BackwardResident, &plan.first, tensors, &bindings)?;
            }
            Path::Split | Path::Reduce => {
                let bindings = [&read[..], &record, &partials].concat();
                work.over_tensor(Kernel::BackwardReduce, &plan.first, tensors, &bindings)?;
                work.over_features(Kernel::BackwardFinalize, &plan.first, &plan.merge, &merge)?;
            }
            Path::Empty if reduce => {
                work.over_features(Kernel::BackwardFinalize, &plan.first, &plan.merge, &merge)?
            }
            Path::Direct | Path::Empty => {}
        }
        if let Path::Split | Path::Direct = plan.path() {
            let bindings = [&gradients[..], &record, &means].concat();
            work.over_tensor(Kernel::BackwardApply, &plan.second, tensors, &bindings)?;
        }
        Ok(BackwardStep { prepared: work.finish(plan) })
    }
}

fn bound_or<'a>(wanted: &'a Option<Bound>, otherwise: &'a wgpu::Buffer) -> wgpu::BufferBinding<'a> {
    wanted.as_ref().map_or_else(|| otherwise.as_entire_buffer_binding(), Bound::binding)
}
