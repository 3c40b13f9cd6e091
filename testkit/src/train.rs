//! A layer run once, in buffers of its own.

use wgpu_batchnorm::{BatchNorm, PlanRequest, Shape, State, StorageType};

use crate::gpu::{gpu, values, whole};
use crate::layer::read_state;
use crate::prepare::{self, Choices, Gradients};
use crate::stored;

/// What a training step and its backward leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub y: Vec<f32>,
    pub state: State,
    pub dx: Vec<f32>,
    pub dweight: Vec<f32>,
    pub dbias: Vec<f32>,
}

/// One training step and its backward.
#[track_caller]
pub fn train(norm: &BatchNorm, shape: Shape, x: &[f32], dy: &[f32], plan: PlanRequest) -> Trained {
    train_stored(norm, StorageType::Float32, shape, x, dy, plan)
}

/// The same with tensors stored so.
#[track_caller]
pub fn train_stored(
    norm: &BatchNorm,
    storage: StorageType,
    shape: Shape,
    x: &[f32],
    dy: &[f32],
    plan: PlanRequest,
) -> Trained {
    let (gpu, len) = (gpu(), x.len());
    let (input, output) = (stored::upload(storage, x), stored::upload(storage, &vec![0.0; len]));
    let choices = Choices { storage, ..plan.into() };
    let step = prepare::training(norm, shape, whole(&input), whole(&output), choices);
    let (dy, dx) = (stored::upload(storage, dy), stored::upload(storage, &vec![0.0; len]));
    let features = shape.features() as usize;
    let (dweight, dbias) = (gpu.empty(features), gpu.empty(features));
    let gradients = Gradients {
        dx: Some(whole(&dx)),
        dweight: norm.weight().map(|_| whole(&dweight)),
        dbias: norm.bias().map(|_| whole(&dbias)),
        accumulate: false,
    };
    let back = prepare::backward(norm, &step, whole(&dy), gradients, plan);
    gpu.run(|pass| {
        step.record(pass);
        back.record(pass);
    })
    .unwrap();
    Trained {
        y: stored::values(storage, &output, len),
        state: read_state(norm),
        dx: stored::values(storage, &dx, len),
        dweight: values(&dweight),
        dbias: values(&dbias),
    }
}

/// The y of one evaluation.
#[track_caller]
pub fn evaluate(norm: &BatchNorm, shape: Shape, x: &[f32], plan: PlanRequest) -> Vec<f32> {
    evaluate_stored(norm, StorageType::Float32, shape, x, plan)
}

/// The same with tensors stored so.
#[track_caller]
pub fn evaluate_stored(
    norm: &BatchNorm,
    storage: StorageType,
    shape: Shape,
    x: &[f32],
    plan: PlanRequest,
) -> Vec<f32> {
    let (input, output) = (stored::upload(storage, x), stored::upload(storage, &vec![0.0; x.len()]));
    let choices = Choices { storage, ..plan.into() };
    let step = prepare::evaluation(norm, shape, whole(&input), whole(&output), choices);
    gpu().run(|pass| step.record(pass)).unwrap();
    stored::values(storage, &output, x.len())
}
