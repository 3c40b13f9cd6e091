//! Runs a case on the GPU, through nothing but the layer's public interface.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{Buffer, BufferBinding};
use wgpu_batchnorm::{BatchNorm, Context, Evaluation, ForwardStep, Shape, State, StorageType, Training};

use super::case::{Buffers, Case, Input};
use super::results::{self, Gradients, Results, Step};
use super::tensor::Result;
use super::{gpu_extended, layer};
use crate::gpu::{download, whole};
use crate::prepare;
use crate::storage::{decode, encode};

/// Runs all steps of `case` in order, then its evaluation.
pub fn run(gpu: &Gpu, context: &Context, case: &Case) -> Result<Results> {
    gpu_extended::check(case)?;
    let norm = BatchNorm::new(context, &layer::descriptor(case)?).map_err(said)?;
    norm.set_state(&gpu.queue, &layer::state(case)).map_err(said)?;

    let mut results = Results::default();
    for input in &case.steps {
        results.steps.push(train(gpu, &norm, case, input)?);
    }
    if let Some(input) = &case.evaluation {
        let tensors = Tensors::new(gpu, case, input)?;
        let mut evaluation = Evaluation::new(tensors.x(), tensors.y());
        evaluation = evaluation.storage(case.storage).activation(case.epilogue.activation);
        if let Some(z) = &tensors.z {
            evaluation = evaluation.residual(whole(z));
        }
        let step = norm.prepare_evaluation(tensors.shape, evaluation).map_err(said)?;
        let gradients = tensors.forward_backward(gpu, &norm, &step)?;
        results.evaluation = Some(results::Evaluation { y: tensors.values(gpu, &tensors.y), gradients });
    }
    Ok(results)
}

fn train(gpu: &Gpu, norm: &BatchNorm, case: &Case, input: &Input) -> Result<Step> {
    let tensors = Tensors::new(gpu, case, input)?;
    let batch = batch_statistics(gpu, norm, case, &tensors)?;
    let step = norm.prepare_training(tensors.shape, tensors.training(case)).map_err(said)?;
    let gradients = tensors.forward_backward(gpu, norm, &step)?;
    let buffers = match case.buffers {
        None => None,
        Some(_) => {
            let State { running_mean, running_var, num_batches_tracked, .. } = read_state(gpu, norm)?;
            Some(Buffers { mean: running_mean, var: running_var, batches: num_batches_tracked })
        }
    };
    Ok(Step { y: tensors.values(gpu, &tensors.y), batch: Some(batch), buffers, gradients })
}

/// Mean and biased variance of the batch: the running statistics of a layer that remembers nothing else.
fn batch_statistics(
    gpu: &Gpu,
    norm: &BatchNorm,
    case: &Case,
    tensors: &Tensors,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let probe = BatchNorm::new(norm.context(), &layer::of_batch(case)?).map_err(said)?;
    let step = Training::new(tensors.x(), tensors.y()).storage(case.storage);
    let step = probe.prepare_training(tensors.shape, step).map_err(said)?;
    gpu.run(|pass| step.record(pass)).map_err(said)?;
    let state = read_state(gpu, &probe)?;
    Ok((state.running_mean, state.running_var))
}

/// The tensors of one pass on the device.
struct Tensors {
    shape: Shape,
    storage: StorageType,
    x: Buffer,
    y: Buffer,
    z: Option<Buffer>,
    dy: Option<Buffer>,
}

impl Tensors {
    fn new(gpu: &Gpu, case: &Case, input: &Input) -> Result<Tensors> {
        let shape = layer::shape(case, input.batch)?;
        let (required, limit) = (shape.bytes_of(case.storage), gpu.device.limits().max_buffer_size);
        if required > limit {
            return Err(format!("x takes {required} bytes, a buffer of the device holds at most {limit}"));
        }
        let upload = |values: &Vec<f32>| {
            let mut bytes = encode(values, case.storage);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            let buffer = gpu.empty(bytes.len() / 4);
            gpu.queue.write_buffer(&buffer, 0, &bytes);
            buffer
        };
        Ok(Tensors {
            shape,
            storage: case.storage,
            x: upload(&input.x),
            y: gpu.empty(required.div_ceil(4) as usize),
            z: input.z.as_ref().map(upload),
            dy: input.dy.as_ref().map(upload),
        })
    }

    fn training(&self, case: &Case) -> Training<'_> {
        let training = Training::new(self.x(), self.y()).storage(self.storage);
        let training = training.activation(case.epilogue.activation);
        match &self.z {
            Some(z) => training.residual(whole(z)),
            None => training,
        }
    }

    /// The values of a tensor, widened to float32.
    fn values(&self, gpu: &Gpu, buffer: &Buffer) -> Vec<f32> {
        let words: Vec<u32> = download(&gpu.device, &gpu.queue, whole(buffer));
        let bytes = self.shape.elements() * self.storage.bytes();
        decode(&bytemuck::cast_slice(&words)[..bytes as usize], self.storage)
    }

    fn x(&self) -> BufferBinding<'_> {
        whole(&self.x)
    }

    fn y(&self) -> BufferBinding<'_> {
        whole(&self.y)
    }

    /// Records a forward step and, where there is a gradient to propagate, its backward, into one pass.
    fn forward_backward(&self, gpu: &Gpu, norm: &BatchNorm, step: &ForwardStep) -> Result<Gradients> {
        let Some(dy) = &self.dy else {
            gpu.run(|pass| step.record(pass)).map_err(said)?;
            return Ok(Gradients::default());
        };
        let features = self.shape.features() as usize;
        let dx = gpu.empty(dy.size() as usize / 4);
        let dz = self.z.as_ref().map(|z| gpu.empty(z.size() as usize / 4));
        let dweight = norm.weight().map(|_| gpu.empty(features));
        let dbias = norm.bias().map(|_| gpu.empty(features));
        let gradients = prepare::Gradients {
            dx: Some(whole(&dx)),
            dweight: dweight.as_ref().map(whole),
            dbias: dbias.as_ref().map(whole),
            accumulate: false,
        };
        let mut backward = gradients.of(whole(dy));
        if let Some(dz) = &dz {
            backward = backward.residual_gradient(whole(dz));
        }
        let backward = norm.prepare_backward(step, backward).map_err(said)?;
        gpu.run(|pass| {
            step.record(pass);
            backward.record(pass);
        })
        .map_err(said)?;
        let values = |buffer: Buffer| values(gpu, &buffer);
        Ok(Gradients {
            dx: Some(self.values(gpu, &dx)),
            dz: dz.as_ref().map(|dz| self.values(gpu, dz)),
            dweight: dweight.map(values),
            dbias: dbias.map(values),
        })
    }
}

fn values(gpu: &Gpu, buffer: &Buffer) -> Vec<f32> {
    download(&gpu.device, &gpu.queue, whole(buffer))
}

fn read_state(gpu: &Gpu, norm: &BatchNorm) -> Result<State> {
    pollster::block_on(norm.read_state(&gpu.queue)).map_err(said)
}

fn said(error: impl std::error::Error) -> String {
    error.to_string()
}
