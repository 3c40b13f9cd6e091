//! Steps of a layer prepared by their tensors and choices. What the layer refuses is a panic that names the shape.

use wgpu_batchnorm::wgpu::BufferBinding;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, Evaluation, ForwardStep, PlanRequest, PrepareError, Shape, Statistics,
    StorageType, Training,
};

/// What training can be asked for beside its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    pub statistics: Statistics,
    pub update_running: bool,
    pub storage: StorageType,
    pub plan: PlanRequest,
}

impl Default for Choices {
    fn default() -> Self {
        PlanRequest::default().into()
    }
}

/// Training as usual, with this plan.
impl From<PlanRequest> for Choices {
    fn from(plan: PlanRequest) -> Self {
        Self { statistics: Statistics::Batch, update_running: true, storage: StorageType::default(), plan }
    }
}

/// The gradients that a backward writes, or adds to what is there.
#[derive(Clone, Debug, Default)]
pub struct Gradients<'a> {
    pub dx: Option<BufferBinding<'a>>,
    pub dweight: Option<BufferBinding<'a>>,
    pub dbias: Option<BufferBinding<'a>>,
    pub accumulate: bool,
}

impl<'a> Gradients<'a> {
    /// The backward of dy that writes these.
    pub fn of(self, dy: BufferBinding<'a>) -> Backward<'a> {
        let Self { dx, dweight, dbias, accumulate } = self;
        let mut backward = Backward::of(dy).accumulate(accumulate);
        if let Some(dx) = dx {
            backward = backward.input_gradient(dx);
        }
        if let Some(dweight) = dweight {
            backward = backward.weight_gradient(dweight);
        }
        if let Some(dbias) = dbias {
            backward = backward.bias_gradient(dbias);
        }
        backward
    }
}

/// A training step from x to y.
#[track_caller]
pub fn training(
    norm: &BatchNorm,
    shape: Shape,
    x: BufferBinding<'_>,
    y: BufferBinding<'_>,
    choices: impl Into<Choices>,
) -> ForwardStep {
    let Choices { statistics, update_running, storage, plan } = choices.into();
    let training = Training::new(x, y).statistics(statistics).update_running(update_running);
    let training = training.storage(storage).plan(plan);
    prepared(shape, plan, norm.prepare_training(shape, training))
}

/// An evaluation from x to y.
#[track_caller]
pub fn evaluation(
    norm: &BatchNorm,
    shape: Shape,
    x: BufferBinding<'_>,
    y: BufferBinding<'_>,
    choices: impl Into<Choices>,
) -> ForwardStep {
    let Choices { storage, plan, .. } = choices.into();
    let evaluation = Evaluation::new(x, y).storage(storage).plan(plan);
    prepared(shape, plan, norm.prepare_evaluation(shape, evaluation))
}

/// The backward of a forward step, from dy.
#[track_caller]
pub fn backward(
    norm: &BatchNorm,
    forward: &ForwardStep,
    dy: BufferBinding<'_>,
    gradients: Gradients<'_>,
    plan: PlanRequest,
) -> BackwardStep {
    let backward = gradients.of(dy).plan(plan);
    prepared(forward.plan().shape(), plan, norm.prepare_backward(forward, backward))
}

#[track_caller]
fn prepared<T>(shape: Shape, plan: PlanRequest, step: Result<T, PrepareError>) -> T {
    step.unwrap_or_else(|error| panic!("{shape}, [{plan}]: {error}"))
}
