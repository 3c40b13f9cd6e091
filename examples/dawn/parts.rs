//! The steps of a batch in parts, of which there is one, and the dispatches that they are.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, DispatchDescription, Evaluation, Finalize, FinalizeGradients, Moments,
};

use crate::Result;
use crate::cases::Spec;
use crate::tensors::Tensors;

/// Training forward and backward over records, in the order that they are recorded in.
pub fn dispatches(
    gpu: &Gpu,
    norm: &BatchNorm,
    spec: &Spec,
    tensors: &Tensors,
    accumulate: bool,
) -> Result<Vec<DispatchDescription>> {
    let shape = spec.extent.shape();
    let record = |bytes: u64| gpu.empty(bytes as usize / 4);
    let (moments, sums) = (record(norm.moments_bytes()), record(norm.gradient_sums_bytes()));

    let of_part = Moments::new(tensors.input.binding(), moments.as_entire_buffer_binding());
    let of_part = norm.prepare_moments(shape, of_part.plan(spec.plan))?;
    let finalize = norm.prepare_finalize(Finalize::new(moments.as_entire_buffer_binding(), 1))?;
    let evaluation = Evaluation::new(tensors.input.binding(), tensors.output.binding());
    let apply = norm.prepare_apply(&finalize, shape, evaluation)?;

    let backward = || Backward::of(tensors.output_gradient.binding());
    let sums_of_part = backward().plan(spec.plan);
    let sums_of_part = norm.prepare_gradient_sums(&apply, sums_of_part, sums.as_entire_buffer_binding())?;
    let gradients = FinalizeGradients::new(sums.as_entire_buffer_binding(), 1).accumulate(accumulate);
    let gradients = gradients
        .weight_gradient(tensors.weight_gradient.binding())
        .bias_gradient(tensors.bias_gradient.binding());
    let gradients = norm.prepare_finalize_gradients(&finalize, gradients)?;
    let input_gradient = backward().input_gradient(tensors.input_gradient.binding());
    let input_gradient = norm.prepare_input_gradient(&apply, &gradients, input_gradient)?;

    Ok([
        of_part.dispatches(),
        finalize.dispatches(),
        apply.dispatches(),
        sums_of_part.dispatches(),
        gradients.dispatches(),
        input_gradient.dispatches(),
    ]
    .concat())
}
