//! A layer run once, in buffers of its own.

use wgpu_batchnorm::{BatchNorm, PlanRequest, Shape, State};

use crate::gpu::{gpu, values, whole};
use crate::layer::read_state;
use crate::prepare::{self, Gradients};

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
    let gpu = gpu();
    let (input, output) = (gpu.upload(x), gpu.empty(x.len()));
    let step = prepare::training(norm, shape, whole(&input), whole(&output), plan);
    let (dy, dx) = (gpu.upload(dy), gpu.empty(x.len()));
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
        y: values(&output),
        state: read_state(norm),
        dx: values(&dx),
        dweight: values(&dweight),
        dbias: values(&dbias),
    }
}

/// The y of one evaluation.
#[track_caller]
pub fn evaluate(norm: &BatchNorm, shape: Shape, x: &[f32], plan: PlanRequest) -> Vec<f32> {
    let gpu = gpu();
    let (input, output) = (gpu.upload(x), gpu.empty(x.len()));
    let step = prepare::evaluation(norm, shape, whole(&input), whole(&output), plan);
    gpu.run(|pass| step.record(pass)).unwrap();
    values(&output)
}
