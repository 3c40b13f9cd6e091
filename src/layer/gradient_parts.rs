//! Backward in parts: gradient sums of each part, gradients of weight and bias from all of them, dx of each part.

use std::sync::Arc;

use super::backward_tensors::Other;
use super::bindings::{Source, ranges};
use super::parts::step;
use super::prepared::Prepared;
use super::{Backward, BackwardStep, BatchNorm, FinalizeStep, ForwardStep, PrepareError, Step};
use crate::kernels::{Constants, Params, Range, Role};
use crate::plan::{MEANS_VECTORS, Op, Plan, PlanRequest, vector_stride};
use crate::tensor::{Bound, Shape, Tensor, check_overlaps};

/// What is to be made of the gradient sums of all parts of a batch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FinalizeGradients<'a> {
    records: wgpu::BufferBinding<'a>,
    count: u32,
    weight_gradient: Option<wgpu::BufferBinding<'a>>,
    bias_gradient: Option<wgpu::BufferBinding<'a>>,
    parameter_gradients: Option<wgpu::BufferBinding<'a>>,
    accumulate: bool,
}

impl<'a> FinalizeGradients<'a> {
    /// Adds up `count` records of gradient sums, one behind the other, in this order. No gradient of weight and bias is
    /// wanted yet: say which.
    pub fn new(records: wgpu::BufferBinding<'a>, count: u32) -> Self {
        Self {
            records,
            count,
            weight_gradient: None,
            bias_gradient: None,
            parameter_gradients: None,
            accumulate: false,
        }
    }

    /// The weight's gradient, as [`Backward::weight_gradient`].
    pub fn weight_gradient(self, gradient: wgpu::BufferBinding<'a>) -> Self {
        Self { weight_gradient: Some(gradient), ..self }
    }

    /// The bias's gradient, as [`Backward::bias_gradient`].
    pub fn bias_gradient(self, gradient: wgpu::BufferBinding<'a>) -> Self {
        Self { bias_gradient: Some(gradient), ..self }
    }

    /// Both, as [`Backward::parameter_gradients`].
    pub fn parameter_gradients(self, gradients: wgpu::BufferBinding<'a>) -> Self {
        Self { parameter_gradients: Some(gradients), ..self }
    }

    /// Whether to add to the gradients of weight and bias instead of overwriting them.
    pub fn accumulate(self, accumulate: bool) -> Self {
        Self { accumulate, ..self }
    }
}

/// Prepared: from records of gradient sums to the gradients of weight and bias, and to what the input gradients of the
/// parts need ([`BatchNorm::prepare_input_gradient`]).
#[derive(Debug)]
pub struct FinalizeGradientsStep {
    prepared: Prepared,
    means: Arc<Range>,
    id: u64,
}

step!(FinalizeGradientsStep);

impl BatchNorm {
    /// Prepares the gradient sums of a part of a batch: Σdy and Σdy·x̂ over what the forward step normalizes. `backward`
    /// gives dy and, where the forward step has overwritten it, x; it wants no gradient. `record` is the caller's: two
    /// vectors of C float32 in that order, the second [`parameter_stride`](Self::parameter_stride) float32 later,
    /// [`gradient_sums_bytes`](Self::gradient_sums_bytes) bytes in all. The sums overwrite it, or add to it where
    /// `backward` accumulates.
    ///
    /// # Errors
    /// [`PrepareError`], as [`prepare_backward`](Self::prepare_backward); and a gradient that this step does not write.
    pub fn prepare_gradient_sums(
        &self,
        forward: &ForwardStep,
        backward: Backward<'_>,
        record: wgpu::BufferBinding<'_>,
    ) -> Result<BackwardStep, PrepareError> {
        backward.refuse(Tensor::InputGradient, "prepare_input_gradient")?;
        backward.refuse(Tensor::ResidualGradient, "prepare_input_gradient")?;
        backward.refuse_parameters()?;
        let record = self.bound(Tensor::GradientSums, &record, self.gradient_sums_bytes())?;
        self.backward_step(forward, backward, Some(Op::GradientSums), Other::Record(record))
    }

    /// Prepares what comes between the gradient sums of all parts and their input gradients. `finalized` is what the parts
    /// were normalized with.
    ///
    /// # Errors
    /// [`PrepareError`] of the bindings.
    pub fn prepare_finalize_gradients(
        &self,
        finalized: &FinalizeStep,
        gradients: FinalizeGradients<'_>,
    ) -> Result<FinalizeGradientsStep, PrepareError> {
        if finalized.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        let FinalizeGradients {
            records,
            count,
            weight_gradient,
            bias_gradient,
            parameter_gradients,
            accumulate,
        } = gradients;
        let records = self.records(Tensor::GradientSums, &records, count, self.gradient_sums_bytes())?;
        let wanted = self.parameter_gradients([&weight_gradient, &bias_gradient], &parameter_gradients)?;
        let roles = [Role::WeightGradient, Role::BiasGradient];
        let wanted: Vec<(Role, Bound)> =
            roles.into_iter().zip(wanted).filter_map(|(role, bound)| Some((role, bound?))).collect();
        let vectors = self.vectors_and(&finalized.saved);
        let written: Vec<&Bound> = wanted.iter().map(|(_, bound)| bound).chain([&records]).collect();
        check_overlaps(&written, &vectors.iter().map(|(_, bound)| bound).collect::<Vec<_>>(), &[])?;
        let means = Arc::new(self.context.saved(MEANS_VECTORS * vector_stride(self.features()) * 4));
        let op = Op::FinalizeGradients { records: count };
        let plan = self.plan(op.into(), Shape::rows(0, self.features()), [], PlanRequest::default())?;
        let params = Params {
            accumulate: accumulate.into(),
            ..Params::new(self.features(), self.parameter_stride() as u32)
        };
        let given = wanted.iter().map(|(role, bound)| (*role, bound)).chain([(Role::Partials, &records)]);
        let own = [(Role::Saved, finalized.saved.binding()), (Role::Means, means.binding())];
        let bindings =
            ranges(given).chain(own.map(|(role, binding)| (role, Source::Range(binding)))).collect();
        let prepared = Prepared::new(self, plan, params, Constants::default(), &bindings)?;
        drop(bindings);
        Ok(FinalizeGradientsStep { prepared, means, id: self.id })
    }

    /// Prepares dx of a part of a batch, given the finalized gradient sums of all. `backward` gives dy, dx and, where the
    /// forward step has overwritten it, x.
    ///
    /// # Errors
    /// [`PrepareError`], as [`prepare_backward`](Self::prepare_backward); and a gradient that this step does not write.
    pub fn prepare_input_gradient(
        &self,
        forward: &ForwardStep,
        finalized: &FinalizeGradientsStep,
        backward: Backward<'_>,
    ) -> Result<BackwardStep, PrepareError> {
        if finalized.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        backward.refuse_parameters()?;
        backward.require_input_gradient()?;
        let means = Other::Means(finalized.means.clone());
        self.backward_step(forward, backward, Some(Op::InputGradient), means)
    }
}
