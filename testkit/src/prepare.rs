//! Steps of a layer prepared by their tensors and choices. What the layer refuses is a panic that names the shape.

use wgpu_batchnorm::wgpu::BufferBinding;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, Evaluation, EvaluationStep, Forward, PlanRequest, PrepareError, Shape,
    Statistics, Training, TrainingStep,
};

/// What training can be asked for beside its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    pub statistics: Statistics,
    pub update_running: bool,
    pub plan: PlanRequest,
}

/// Training as usual, with this plan.
impl From<PlanRequest> for Choices {
    fn from(plan: PlanRequest) -> Self {
        Self { statistics: Statistics::Batch, update_running: true, plan }
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

/// A training step from x to y.
#[track_caller]
pub fn training(
    norm: &BatchNorm,
    shape: Shape,
    x: BufferBinding<'_>,
    y: BufferBinding<'_>,
    choices: impl Into<Choices>,
) -> TrainingStep {
    let Choices { statistics, update_running, plan } = choices.into();
    let training = Training { statistics, update_running, plan, ..Training::new(x, y) };
    prepared(shape, plan, norm.prepare_training(shape, training))
}

/// An evaluation from x to y.
#[track_caller]
pub fn evaluation(
    norm: &BatchNorm,
    shape: Shape,
    x: BufferBinding<'_>,
    y: BufferBinding<'_>,
    plan: PlanRequest,
) -> EvaluationStep {
    prepared(shape, plan, norm.prepare_evaluation(shape, Evaluation { plan, ..Evaluation::new(x, y) }))
}

/// The backward of a forward step of x, from dy.
#[track_caller]
pub fn backward(
    norm: &BatchNorm,
    shape: Shape,
    forward: &impl Forward,
    [x, dy]: [BufferBinding<'_>; 2],
    gradients: Gradients<'_>,
    plan: PlanRequest,
) -> BackwardStep {
    let Gradients { dx, dweight, dbias, accumulate } = gradients;
    let backward = Backward {
        input_gradient: dx,
        weight_gradient: dweight,
        bias_gradient: dbias,
        accumulate,
        plan,
        ..Backward::new(x, dy)
    };
    prepared(shape, plan, norm.prepare_backward(shape, forward, backward))
}

#[track_caller]
fn prepared<T>(shape: Shape, plan: PlanRequest, step: Result<T, PrepareError>) -> T {
    step.unwrap_or_else(|error| panic!("{shape}, {plan:?}: {error}"))
}
