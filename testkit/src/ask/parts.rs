//! The steps of a batch in parts.

use wgpu_batchnorm::{BatchNorm, Finalize, FinalizeGradients, Moments, PrepareError};

use super::tensors::{Tensors, Vector, Which};
use super::{Ask, Mode};
use crate::elsewhere::Recorded;
use crate::plans::without_path;

/// Forward and backward in the order that they are recorded in.
pub fn prepare(
    ask: &Ask,
    norm: &BatchNorm,
    tensors: &Tensors,
) -> Result<Vec<Box<dyn Recorded>>, PrepareError> {
    let parts: Vec<_> =
        ask.cuts().into_iter().map(|examples| ask.of_examples(examples)).enumerate().collect();
    let count = parts.len() as u32;
    let mut steps: Vec<Box<dyn Recorded>> = Vec::new();
    for &(k, shape) in &parts {
        let record = tensors.record(Vector::Moments, k, norm.moments_bytes());
        let mut moments = Moments::new(tensors.cut(Which::X, k), record).storage(ask.storage).plan(ask.plan);
        if let Some(mask) = tensors.mask(k) {
            moments = moments.mask(mask);
        }
        steps.push(Box::new(norm.prepare_moments(shape, moments)?));
    }
    let mut finalize = Finalize::new(tensors.vector(Vector::Moments), count)
        .statistics(ask.statistics())
        .update_running(ask.mode != Mode::Evaluation)
        .guard(ask.guard());
    if ask.flag.is_some() {
        finalize = finalize.commit(tensors.vector(Vector::Flag));
    }
    let finalize = norm.prepare_finalize(finalize)?;
    let mut applied = Vec::new();
    for &(k, shape) in &parts {
        let evaluation = ask.evaluation(tensors, k, |which| tensors.cut(which, k).into());
        applied.push(norm.prepare_apply(&finalize, shape, evaluation.plan(without_path(ask.plan)))?);
    }
    let mut sums: Vec<Box<dyn Recorded>> = Vec::new();
    for (k, applied) in applied.iter().enumerate() {
        let record = tensors.record(Vector::Sums, k, norm.gradient_sums_bytes());
        let backward = ask.reads(&|which| tensors.cut(which, k).into()).plan(ask.plan);
        sums.push(Box::new(norm.prepare_gradient_sums(applied, backward, record)?));
    }
    let mut gradients =
        FinalizeGradients::new(tensors.vector(Vector::Sums), count).accumulate(ask.accumulate);
    if ask.wanted.learns {
        let [weight, bias] = [Vector::DWeight, Vector::DBias].map(|v| tensors.vector(v));
        gradients = gradients.weight_gradient(weight).bias_gradient(bias);
    }
    let gradients = norm.prepare_finalize_gradients(&finalize, gradients)?;
    let mut last: Vec<Box<dyn Recorded>> = Vec::new();
    for (k, applied) in applied.iter().enumerate() {
        let backward = ask.gradients(&|which| tensors.cut(which, k).into()).plan(without_path(ask.plan));
        last.push(Box::new(norm.prepare_input_gradient(applied, &gradients, backward)?));
    }
    steps.push(Box::new(finalize));
    steps.extend(applied.into_iter().map(|step| Box::new(step) as Box<dyn Recorded>));
    steps.extend(sums);
    steps.push(Box::new(gradients));
    steps.extend(last);
    Ok(steps)
}
