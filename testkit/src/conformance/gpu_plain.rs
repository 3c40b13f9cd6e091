//! Runs a case of a float32 tensor and nothing else on the GPU.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{Buffer, BufferBinding};
use wgpu_batchnorm::{BatchNorm, Context, Evaluation, ForwardStep, Shape, State, Training};

use super::case::{Buffers, Case, Input};
use super::layer;
use super::read_back::{read_state, said, values};
use super::results::{self, Gradients, Results, Step};
use super::tensor::Result;
use crate::buffers::whole;
use crate::prepare;

pub async fn run(gpu: &Gpu, context: &Context, case: &Case) -> Result<Results> {
    let norm = BatchNorm::new(context, &layer::descriptor(case)?).map_err(said)?;
    norm.set_state(&gpu.queue, &layer::state(case)).map_err(said)?;

    let mut results = Results::default();
    for input in &case.steps {
        results.steps.push(train(gpu, &norm, case, input).await?);
    }
    if let Some(input) = &case.evaluation {
        let tensors = Tensors::new(gpu, case, input)?;
        let step = norm.prepare_evaluation(tensors.shape, Evaluation::new(tensors.x(), tensors.y()));
        let step = step.map_err(said)?;
        let gradients = tensors.forward_backward(gpu, &norm, &step).await?;
        results.evaluation = Some(results::Evaluation { y: values(gpu, &tensors.y).await?, gradients });
    }
    Ok(results)
}

async fn train(gpu: &Gpu, norm: &BatchNorm, case: &Case, input: &Input) -> Result<Step> {
    let tensors = Tensors::new(gpu, case, input)?;
    let batch = batch_statistics(gpu, norm, case, &tensors).await?;
    let step = norm.prepare_training(tensors.shape, Training::new(tensors.x(), tensors.y())).map_err(said)?;
    let gradients = tensors.forward_backward(gpu, norm, &step).await?;
    let buffers = match case.buffers {
        None => None,
        Some(_) => {
            let State { running_mean, running_var, num_batches_tracked, .. } = read_state(gpu, norm).await?;
            Some(Buffers { mean: running_mean, var: running_var, batches: num_batches_tracked })
        }
    };
    Ok(Step { y: values(gpu, &tensors.y).await?, batch: Some(batch), buffers, gradients })
}

/// Mean and biased variance of the batch: the running statistics of a layer that remembers nothing else.
async fn batch_statistics(
    gpu: &Gpu,
    norm: &BatchNorm,
    case: &Case,
    tensors: &Tensors,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let probe = BatchNorm::new(norm.context(), &layer::of_batch(case)?).map_err(said)?;
    let step =
        probe.prepare_training(tensors.shape, Training::new(tensors.x(), tensors.y())).map_err(said)?;
    gpu.run(|pass| step.record(pass)).map_err(said)?;
    let state = read_state(gpu, &probe).await?;
    Ok((state.running_mean, state.running_var))
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
        Ok(Tensors {
            shape: layer::shape(case, input.batch)?,
            x: gpu.upload(&input.x),
            y: gpu.empty(input.x.len()),
            dy: input.dy.as_ref().map(|dy| gpu.upload(dy)),
        })
    }

    fn x(&self) -> BufferBinding<'_> {
        whole(&self.x)
    }

    fn y(&self) -> BufferBinding<'_> {
        whole(&self.y)
    }

    /// Records a forward step and, where there is a gradient to propagate, its backward, into one pass.
    async fn forward_backward(&self, gpu: &Gpu, norm: &BatchNorm, step: &ForwardStep) -> Result<Gradients> {
        let Some(dy) = &self.dy else {
            gpu.run(|pass| step.record(pass)).map_err(said)?;
            return Ok(Gradients::default());
        };
        let features = self.shape.features() as usize;
        let dx = gpu.empty(dy.size() as usize / 4);
        let dweight = norm.weight().map(|_| gpu.empty(features));
        let dbias = norm.bias().map(|_| gpu.empty(features));
        let gradients = prepare::Gradients {
            dx: Some(whole(&dx)),
            dweight: dweight.as_ref().map(whole),
            dbias: dbias.as_ref().map(whole),
            accumulate: false,
        };
        let backward = norm.prepare_backward(step, gradients.of(whole(dy))).map_err(said)?;
        gpu.run(|pass| {
            step.record(pass);
            backward.record(pass);
        })
        .map_err(said)?;
        let values = async |buffer: Option<Buffer>| match buffer {
            None => Ok(None),
            Some(buffer) => values(gpu, &buffer).await.map(Some),
        };
        let (dx, dweight, dbias) = (values(Some(dx)).await?, values(dweight).await?, values(dbias).await?);
        Ok(Gradients { dx, dz: None, dweight, dbias })
    }
}
