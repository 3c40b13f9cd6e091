//! The layer and the steps of a rig, on ranges between guards.

use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Context, Epilogue, ForwardStep, LayerBuffers,
    PlanRequest, PrepareError, Shape, Statistics, Training,
};

use super::cases::Case;
use super::guards::Guarded;
use crate::layer::descriptor;
use crate::masks::Masked;

/// How what is written lies to what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Disjoint,
    SameBuffer,
    /// y takes the place of x, and dx that of dy.
    InPlace,
}

/// What is asked for. Running statistics normalize in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Running statistics move; all gradients. Paths: split, cached, persistent.
    All,
    /// y and dx, both elementwise.
    Tensors,
    /// y, elementwise, and the gradients of weight and bias, by the reduce path.
    Parameters,
}

/// 1 − EPS is the variance that normalizes, so that the inverse of the root is exactly 1.
pub const EPS: f32 = 1.0 / 1024.0;
pub const X: usize = 0;
pub const Y: usize = 1;
pub const DY: usize = 2;
pub const DX: usize = 3;
pub const DWEIGHT: usize = 4;
pub const DBIAS: usize = 5;
pub const SAVED: usize = 6;
pub const WEIGHT: usize = 7;
pub const BIAS: usize = 8;
pub const MEAN: usize = 9;
pub const VAR: usize = 10;
pub const BATCHES: usize = 11;
pub const Z: usize = 12;
pub const DZ: usize = 13;
pub const MASK: usize = 14;

pub fn norm(context: &Context, shape: Shape, guarded: &Guarded) -> BatchNorm {
    let at = |k| guarded.binding(k);
    let buffers = LayerBuffers::new().weight(at(WEIGHT)).bias(at(BIAS)).running_mean(at(MEAN));
    let buffers = buffers.running_var(at(VAR)).num_batches_tracked(at(BATCHES));
    let replace = BatchNormDescriptor { momentum: Some(1.0), eps: EPS, ..descriptor(shape.features()) };
    BatchNorm::with_buffers(context, &replace, buffers).unwrap()
}

pub fn forward(
    norm: &BatchNorm,
    Case { shape, storage, plan }: Case,
    guarded: &Guarded,
    (wanted, placement): (Wanted, Placement),
    epilogue: Epilogue,
    mask: Option<&Masked>,
) -> Result<ForwardStep, PrepareError> {
    let output = if placement == Placement::InPlace { X } else { Y };
    let mut training = Training::new(guarded.binding(X), guarded.binding(output))
        .activation(epilogue.activation)
        .statistics(Statistics::Running)
        .update_running(wanted == Wanted::All)
        .saved(guarded.binding(SAVED))
        .storage(storage)
        .plan(plan);
    if let Some(mask) = mask {
        training = training.mask(mask.of(guarded.binding(MASK)));
    }
    let training = if epilogue.residual { training.residual(guarded.binding(Z)) } else { training };
    norm.prepare_training(shape, training)
}

pub fn backward(
    norm: &BatchNorm,
    forward: &ForwardStep,
    plan: PlanRequest,
    guarded: &Guarded,
    wanted: Wanted,
    placement: Placement,
) -> Result<BackwardStep, PrepareError> {
    let (input, dx) = if placement == Placement::InPlace { (Y, DY) } else { (X, DX) };
    let mut backward = Backward::of(guarded.binding(DY)).input(guarded.binding(input)).plan(plan);
    if wanted != Wanted::Parameters {
        backward = backward.input_gradient(guarded.binding(dx));
        if forward.plan().work().epilogue.residual {
            backward = backward.residual_gradient(guarded.binding(DZ));
        }
    }
    if wanted != Wanted::Tensors {
        backward = backward.weight_gradient(guarded.binding(DWEIGHT)).bias_gradient(guarded.binding(DBIAS));
    }
    norm.prepare_backward(forward, backward)
}
