//! Runs a case on the GPU, through nothing but the layer's public interface.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{Buffer, BufferBinding, ComputePass};
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, Context, Convention, Evaluation, Forward, Shape, State,
    Training,
};

use super::case::{Buffers, Case, Format, Input, Result};
use super::results::{self, Gradients, Results, Step};

/// Runs all steps of `case` in order, then its evaluation.
pub fn run(gpu: &Gpu, context: &Context, case: &Case) -> Result<Results> {
    let norm = BatchNorm::new(context, &descriptor(case)?).map_err(said)?;
    let (mean, var, batches) = match &case.buffers {
        Some(Buffers { mean, var, batches }) => (mean.clone(), var.clone(), *batches),
        None => Default::default(),
    };
    let state = State {
        weight: case.weight.clone().unwrap_or_default(),
        bias: case.bias.clone().unwrap_or_default(),
        running_mean: mean,
        running_var: var,
        num_batches_tracked: batches,
    };
    norm.set_state(&gpu.queue, &state).map_err(said)?;

    let mut results = Results::default();
    for input in &case.steps {
        results.steps.push(train(gpu, &norm, case, input)?);
    }
    if let Some(input) = &case.evaluation {
        let tensors = Tensors::new(gpu, case, input)?;
        let step = norm.prepare_evaluation(tensors.shape, Evaluation::new(tensors.x(), tensors.y()));
        let step = step.map_err(said)?;
        let gradients = tensors.forward_backward(gpu, &norm, &step, |pass| step.record(pass))?;
        results.evaluation =
            Some(results::Evaluation { y: gpu.download(&tensors.y).map_err(said)?, gradients });
    }
    Ok(results)
}

fn train(gpu: &Gpu, norm: &BatchNorm, case: &Case, input: &Input) -> Result<Step> {
    let tensors = Tensors::new(gpu, case, input)?;
    let batch = batch_statistics(gpu, norm, case, &tensors)?;
    let step = norm.prepare_training(tensors.shape, Training::new(tensors.x(), tensors.y())).map_err(said)?;
    let gradients = tensors.forward_backward(gpu, norm, &step, |pass| step.record(pass))?;
    let buffers = match case.buffers {
        None => None,
        Some(_) => {
            let state = pollster::block_on(norm.read_state(&gpu.queue)).map_err(said)?;
            Some(Buffers {
                mean: state.running_mean,
                var: state.running_var,
                batches: state.num_batches_tracked,
            })
        }
    };
    Ok(Step { y: gpu.download(&tensors.y).map_err(said)?, batch: Some(batch), buffers, gradients })
}

/// Mean and biased variance of the batch: the running statistics of a layer that remembers nothing else.
fn batch_statistics(
    gpu: &Gpu,
    norm: &BatchNorm,
    case: &Case,
    tensors: &Tensors,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let descriptor = BatchNormDescriptor {
        momentum: Some(1.0),
        weight: false,
        bias: false,
        track_running_stats: true,
        convention: Convention::Burn,
        ..descriptor(case)?
    };
    let probe = BatchNorm::new(norm.context(), &descriptor).map_err(said)?;
    let step =
        probe.prepare_training(tensors.shape, Training::new(tensors.x(), tensors.y())).map_err(said)?;
    gpu.run(|pass| step.record(pass)).map_err(said)?;
    let state = pollster::block_on(probe.read_state(&gpu.queue)).map_err(said)?;
    Ok((state.running_mean, state.running_var))
}

fn descriptor(case: &Case) -> Result<BatchNormDescriptor<'_>> {
    Ok(BatchNormDescriptor {
        label: Some(&case.name),
        features: size(case.features)?,
        eps: case.eps as f32,
        momentum: case.momentum.map(|momentum| momentum as f32),
        weight: case.weight.is_some(),
        bias: case.bias.is_some(),
        track_running_stats: case.buffers.is_some(),
        convention: match case.format {
            Format::PyTorch => Convention::PyTorch,
            Format::Onnx => Convention::Onnx,
        },
    })
}

/// The tensors of one pass on the device.
struct Tensors {
    shape: Shape,
    x: Buffer,
    y: Buffer,
    dy: Option<Buffer>,
}

impl Tensors {
    fn new(gpu: &Gpu, case: &Case, input: &Input) -> Result<Tensors> {
        let (required, limit) = (input.x.len() as u64 * 4, gpu.device.limits().max_buffer_size);
        if required > limit {
            return Err(format!("x takes {required} bytes, a buffer of the device holds at most {limit}"));
        }
        let spatial = case.positions.iter().map(|&axis| size(axis)).collect::<Result<Vec<_>>>()?;
        let (batch, features) = (size(input.batch)?, size(case.features)?);
        let shape = match case.features_last {
            true => Shape::channels_last(batch, &spatial, features),
            false => Shape::channels_first(batch, features, &spatial),
        };
        Ok(Tensors {
            shape,
            x: gpu.upload(&input.x),
            y: gpu.empty(input.x.len()),
            dy: input.dy.as_ref().map(|dy| gpu.upload(dy)),
        })
    }

    fn x(&self) -> BufferBinding<'_> {
        self.x.as_entire_buffer_binding()
    }

    fn y(&self) -> BufferBinding<'_> {
        self.y.as_entire_buffer_binding()
    }

    /// Records a forward step and, where there is a gradient to propagate, its backward, into one pass.
    fn forward_backward(
        &self,
        gpu: &Gpu,
        norm: &BatchNorm,
        step: &impl Forward,
        forward: impl FnOnce(&mut ComputePass<'_>),
    ) -> Result<Gradients> {
        let Some(dy) = &self.dy else {
            gpu.run(forward).map_err(said)?;
            return Ok(Gradients::default());
        };
        let features = self.shape.features() as usize;
        let dx = gpu.empty(dy.size() as usize / 4);
        let dweight = norm.weight().map(|_| gpu.empty(features));
        let dbias = norm.bias().map(|_| gpu.empty(features));
        let backward = Backward {
            input_gradient: Some(dx.as_entire_buffer_binding()),
            weight_gradient: dweight.as_ref().map(Buffer::as_entire_buffer_binding),
            bias_gradient: dbias.as_ref().map(Buffer::as_entire_buffer_binding),
            ..Backward::new(self.x(), dy.as_entire_buffer_binding())
        };
        let backward = norm.prepare_backward(self.shape, step, backward).map_err(said)?;
        gpu.run(|pass| {
            forward(pass);
            backward.record(pass);
        })
        .map_err(said)?;
        let download =
            |buffer: &Option<Buffer>| buffer.as_ref().map(|b| gpu.download(b).map_err(said)).transpose();
        Ok(Gradients { dx: download(&Some(dx))?, dweight: download(&dweight)?, dbias: download(&dbias)? })
    }
}

fn size(axis: usize) -> Result<u32> {
    u32::try_from(axis).map_err(|_| format!("shape: required axes up to {}, given {axis}", u32::MAX))
}

fn said(error: impl std::error::Error) -> String {
    error.to_string()
}
