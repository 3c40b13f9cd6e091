//! The steps of a batch in parts, and the dispatches that they are.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, DispatchDescription, Evaluation, Finalize, FinalizeGradients, FinalizeGradientsStep,
    FinalizeStep, ForwardStep, Mask, Moments, Shape,
};

use crate::Result;
use crate::cases::Spec;
use crate::problem::Extent;
use crate::tensors::{Range, Tensors};

/// Examples of a part, but for the last: so many end aligned, whatever the shape.
const PART: u32 = 128;

/// A part of the batch.
struct Part {
    first: u32,
    shape: Shape,
    /// Bytes before it in a tensor, and its own.
    bytes: [u64; 2],
}

impl Part {
    fn all(spec: &Spec) -> Vec<Self> {
        let whole = spec.extent;
        let bytes = |outer| Extent { outer, ..whole }.shape().bytes_of(spec.storage);
        let part = |first| {
            let extent = Extent { outer: PART.min(whole.outer - first), ..whole };
            Self { first, shape: extent.shape(), bytes: [bytes(first), bytes(extent.outer)] }
        };
        (0..whole.outer).step_by(PART as usize).map(part).collect()
    }

    fn of(&self, tensor: &Range) -> Range {
        tensor.part(self.bytes[0], self.bytes[1])
    }
}

/// What all steps of a batch in parts are prepared with.
struct Batch<'a> {
    norm: &'a BatchNorm,
    spec: &'a Spec,
    tensors: &'a Tensors,
    parts: Vec<Part>,
}

/// Training forward and backward over records, in the order that they are recorded in.
pub fn dispatches(
    gpu: &Gpu,
    norm: &BatchNorm,
    spec: &Spec,
    tensors: &Tensors,
    accumulate: bool,
) -> Result<Vec<DispatchDescription>> {
    let batch = Batch { norm, spec, tensors, parts: Part::all(spec) };
    let records = |bytes: u64| Range::whole(&gpu.empty(bytes as usize / 4 * batch.parts.len()));
    let moments = records(norm.moments_bytes());
    let mut all = batch.moments(&moments)?;
    let finalize = norm.prepare_finalize(Finalize::new(moments.binding(), batch.count()))?;
    all.extend(finalize.dispatches());
    let applied = batch.apply(&finalize)?;
    all.extend(applied.iter().flat_map(|step| step.dispatches()));
    let sums = records(norm.gradient_sums_bytes());
    all.extend(batch.sums(&applied, &sums)?);
    let gradients = FinalizeGradients::new(sums.binding(), batch.count())
        .accumulate(accumulate)
        .weight_gradient(tensors.weight_gradient.binding())
        .bias_gradient(tensors.bias_gradient.binding());
    let gradients = norm.prepare_finalize_gradients(&finalize, gradients)?;
    all.extend(gradients.dispatches());
    all.extend(batch.input_gradients(&applied, &gradients)?);
    Ok(all)
}

impl Batch<'_> {
    fn count(&self) -> u32 {
        self.parts.len() as u32
    }

    /// The lengths of a part.
    fn lengths(&self, part: &Part) -> Option<Range> {
        let lengths =
            |_| self.tensors.mask.part(u64::from(part.first) * 4, u64::from(part.shape.batch()) * 4);
        self.spec.mask.map(lengths)
    }

    fn moments(&self, records: &Range) -> Result<Vec<DispatchDescription>> {
        let Self { norm, spec, tensors, parts } = self;
        let (mut all, bytes) = (Vec::new(), norm.moments_bytes());
        for (k, part) in parts.iter().enumerate() {
            let (input, record) = (part.of(&tensors.input), records.part(k as u64 * bytes, bytes));
            let moments = Moments::new(input.binding(), record.binding());
            let mut moments = moments.storage(spec.storage).plan(spec.plan);
            let lengths = self.lengths(part);
            if let Some(lengths) = &lengths {
                moments = moments.mask(Mask::Lengths(lengths.binding()));
            }
            all.extend(norm.prepare_moments(part.shape, moments)?.dispatches());
        }
        Ok(all)
    }

    fn apply(&self, finalize: &FinalizeStep) -> Result<Vec<ForwardStep>> {
        let Self { norm, spec, tensors, parts } = self;
        let mut all = Vec::new();
        for part in parts {
            let (input, output, z) =
                (part.of(&tensors.input), part.of(&tensors.output), part.of(&tensors.residual));
            let mut evaluation = Evaluation::new(input.binding(), output.binding()).storage(spec.storage);
            evaluation = evaluation.activation(spec.epilogue.activation);
            if spec.epilogue.residual {
                evaluation = evaluation.residual(z.binding());
            }
            let lengths = self.lengths(part);
            if let Some(lengths) = &lengths {
                evaluation = evaluation.mask(Mask::Lengths(lengths.binding()));
            }
            all.push(norm.prepare_apply(finalize, part.shape, evaluation)?);
        }
        Ok(all)
    }

    fn sums(&self, applied: &[ForwardStep], records: &Range) -> Result<Vec<DispatchDescription>> {
        let Self { norm, spec, tensors, parts } = self;
        let (mut all, bytes) = (Vec::new(), norm.gradient_sums_bytes());
        for (k, (part, applied)) in parts.iter().zip(applied).enumerate() {
            let dy = part.of(&tensors.output_gradient);
            let record = records.part(k as u64 * bytes, bytes);
            let backward = Backward::of(dy.binding()).plan(spec.plan);
            all.extend(norm.prepare_gradient_sums(applied, backward, record.binding())?.dispatches());
        }
        Ok(all)
    }

    fn input_gradients(
        &self,
        applied: &[ForwardStep],
        gradients: &FinalizeGradientsStep,
    ) -> Result<Vec<DispatchDescription>> {
        let Self { norm, spec, tensors, parts } = self;
        let mut all = Vec::new();
        for (part, applied) in parts.iter().zip(applied) {
            let tensors = [&tensors.output_gradient, &tensors.input_gradient, &tensors.residual_gradient];
            let [dy, dx, dz] = tensors.map(|tensor| part.of(tensor));
            let mut backward = Backward::of(dy.binding()).input_gradient(dx.binding());
            if spec.epilogue.residual {
                backward = backward.residual_gradient(dz.binding());
            }
            all.extend(norm.prepare_input_gradient(applied, gradients, backward)?.dispatches());
        }
        Ok(all)
    }
}
