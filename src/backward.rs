//! Backward: the gradients of a forward step.

use crate::binding::{Bound, arrangement};
use crate::dispatch::DispatchDescription;
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

    /// The step's dispatches as data, in the order of recording: for tests on other implementations of WebGPU.
    #[doc(hidden)]
    pub fn dispatches(&self) -> Vec<DispatchDescription> {
        self.prepared.dispatches()
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
        let optional = |tensor, binding: &Option<wgpu::BufferBinding<'_>>, bytes| {
            binding.as_ref().map(|binding| self.bound(tensor, binding, bytes)).transpose()
        };
        let vector = self.vector_bytes();
        let input = self.bound(Tensor::Input, &backward.input, shape.bytes())?;
        let output_gradient = self.bound(Tensor::OutputGradient, &backward.output_gradient, shape.bytes())?;
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
        let parameter_gradients = [&weight_gradient, &bias_gradient].into_iter().flatten();
        let tensors = match shape.count() {
            0 => arrangement(&parameter_gradients.collect::<Vec<_>>(), &[], None)?,
            _ => {
                let written: Vec<&Bound> = input_gradient.iter().chain(parameter_gradients).collect();
                let in_place = input_gradient.is_some().then_some(&output_gradient);
                arrangement(&written, &[&input, &output_gradient], in_place)?
            }
        };

        let frozen = saved.statistics == Statistics::Running;
        let learns = weight_gradient.is_some() || bias_gradient.is_some();
        let apply = input_gradient.is_some();
        let reduce = learns || (apply && !frozen);
        let work = Work::Backward { reduce, apply };
        let plan = Plan::new(self.context.machine(), work, shape, backward.plan)?;
        let (path, first, second) = (plan.path(), plan.first, plan.second);

        let params = Params {
            use_running: frozen.into(),
            accumulate: backward.accumulate.into(),
            ..Params::new(&self.descriptor, self.stride, shape)
        };
        let mut work = Preparation::new(self, plan, shape, params);
        let read = [(slot::INPUT, input.binding()), (slot::OUTPUT_GRADIENT, output_gradient.binding())];
        let record = [(slot::RECORD, saved.record.as_entire_buffer_binding())];
        // In place, dx is where dy is read.
        let gradients = match (&input_gradient, tensors) {
            (Some(dx), Tensors::InPlace) => vec![read[0].clone(), (slot::OUTPUT, dx.binding())],
            (Some(dx), _) => [&read[..], &[(slot::OUTPUT, dx.binding())]].concat(),
            (None, _) => Vec::new(),
        };
        // Gradients that nobody wants are written where nobody looks.
        let mut or_scratch = |gradient: &Option<Bound>| match gradient {
            None if reduce => Some(work.scratch(1)),
            _ => None,
        };
        let unwanted = [or_scratch(&weight_gradient), or_scratch(&bias_gradient)];
        let parameters = [
            (slot::WEIGHT_GRADIENT, either(&weight_gradient, &unwanted[0])),
            (slot::BIAS_GRADIENT, either(&bias_gradient, &unwanted[1])),
        ];
        let parameters: Vec<_> = parameters.into_iter().filter_map(|(slot, b)| Some((slot, b?))).collect();
        if let Path::Resident | Path::Held = path {
            let kernel = if path == Path::Held { Kernel::BackwardHeld } else { Kernel::BackwardResident };
            let bindings = [&gradients[..], &record, &parameters].concat();
            work.over_tensor(kernel, &first, tensors, &bindings)?;
            return Ok(BackwardStep { prepared: work.finish() });
        }
        if let (Path::Direct, Some(dx)) = (path, &input_gradient) {
            let dx = (slot::OUTPUT, dx.binding());
            let both = match tensors {
                Tensors::InPlace => vec![dx],
                _ => vec![(slot::INPUT, output_gradient.binding()), dx],
            };
            work.over_tensor(Kernel::BackwardFrozen, &first, tensors, &[&both[..], &record].concat())?;
            return Ok(BackwardStep { prepared: work.finish() });
        }
        let means = work.scratch(2);
        let means = [(slot::MEANS, means.as_entire_buffer_binding())];
        if reduce {
            let partials = work.partials();
            let partials = [(slot::PARTIALS, partials.as_entire_buffer_binding())];
            if path != Path::Empty {
                let bindings = [&read[..], &record, &partials].concat();
                work.over_tensor(Kernel::BackwardReduce, &first, tensors, &bindings)?;
            }
            let bindings = [&partials[..], &means, &parameters].concat();
            work.over_features(Kernel::BackwardFinalize, &bindings)?;
        }
        if apply && path != Path::Empty {
            let bindings = [&gradients[..], &record, &means].concat();
            work.over_tensor(Kernel::BackwardApply, &second, tensors, &bindings)?;
        }
        Ok(BackwardStep { prepared: work.finish() })
    }
}

fn either<'a>(
    wanted: &'a Option<Bound>,
    unwanted: &'a Option<wgpu::Buffer>,
) -> Option<wgpu::BufferBinding<'a>> {
    match wanted {
        Some(bound) => Some(bound.binding()),
        None => unwanted.as_ref().map(wgpu::Buffer::as_entire_buffer_binding),
    }
}
