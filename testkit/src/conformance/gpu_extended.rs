//! Runs a case of 16-bit storage, epilogues, masks and parts on the GPU.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use wgpu_batchnorm::{
    Backward, BatchNorm, Context, Evaluation, Finalize, FinalizeGradients, Mask, Moments, Shape, State, Step,
    Training,
};

use super::case::{Buffers, Case, Input};
use super::layer;
use super::read_back::{read_state, said};
use super::results::{self, Gradients, Results};
use super::tensor::Result;
use crate::buffers::{part, whole};
use crate::storage::{decode, encode};

/// Runs the step of `case`, then its evaluation.
pub async fn run(gpu: &Gpu, context: &Context, case: &Case) -> Result<Results> {
    let norm = BatchNorm::new(context, &layer::descriptor(case)?).map_err(said)?;
    norm.set_state(&gpu.queue, &layer::state(case)).map_err(said)?;
    let run = Run { gpu, case };
    let mut results = Results::default();
    for input in &case.steps {
        let batch = run.batch_statistics(context, input).await?;
        let (y, gradients) = run.train(&norm, input).await?;
        let State { running_mean, running_var, num_batches_tracked, .. } = read_state(gpu, &norm).await?;
        let buffers = Buffers { mean: running_mean, var: running_var, batches: num_batches_tracked };
        results.steps.push(results::Step { y, batch: Some(batch), buffers: Some(buffers), gradients });
    }
    if let Some(input) = &case.evaluation {
        let tensors = Tensors::new(&run, input, 0, input.batch)?;
        let step = norm.prepare_evaluation(tensors.shape, tensors.evaluation(case)).map_err(said)?;
        let gradients = Parameters::new(gpu, &norm);
        let backward = norm.prepare_backward(&step, gradients.of(tensors.backward())).map_err(said)?;
        run.submit(&[&step, &backward])?;
        let (y, gradients) = run.read(&[tensors], &gradients).await?;
        results.evaluation = Some(results::Evaluation { y, gradients });
    }
    Ok(results)
}

struct Run<'a> {
    gpu: &'a Gpu,
    case: &'a Case,
}

impl Run<'_> {
    /// Mean and biased variance of the batch: the running statistics of a layer that remembers nothing else, and nothing
    /// where there is no value.
    async fn batch_statistics(&self, context: &Context, input: &Input) -> Result<(Vec<f32>, Vec<f32>)> {
        let probe = BatchNorm::new(context, &layer::of_batch(self.case)?).map_err(said)?;
        let (zeros, ones) = (vec![0.0; self.case.features], vec![1.0; self.case.features]);
        let known = |values: Vec<f32>, has: bool| if has { values } else { Vec::new() };
        let state = State {
            weight: known(ones, probe.weight().is_some()),
            bias: known(zeros.clone(), probe.bias().is_some()),
            running_mean: zeros.clone(),
            running_var: zeros,
            num_batches_tracked: 0,
        };
        probe.set_state(&self.gpu.queue, &state).map_err(said)?;
        self.train(&probe, input).await?;
        let state = read_state(self.gpu, &probe).await?;
        Ok((state.running_mean, state.running_var))
    }

    async fn train(&self, norm: &BatchNorm, input: &Input) -> Result<(Vec<f32>, Gradients)> {
        if !input.parts.is_empty() {
            return self.train_parts(norm, input).await;
        }
        let tensors = Tensors::new(self, input, 0, input.batch)?;
        let gradients = Parameters::new(self.gpu, norm);
        let step = norm.prepare_training(tensors.shape, tensors.training(self.case)).map_err(said)?;
        let backward = norm.prepare_backward(&step, gradients.of(tensors.backward())).map_err(said)?;
        self.submit(&[&step, &backward])?;
        self.read(&[tensors], &gradients).await
    }

    /// The same batch, each part in buffers of its own.
    async fn train_parts(&self, norm: &BatchNorm, input: &Input) -> Result<(Vec<f32>, Gradients)> {
        let Self { gpu, case } = *self;
        let mut first = 0;
        let tensors = |&examples: &usize| {
            first += examples;
            Tensors::new(self, input, first - examples, first)
        };
        let parts: Vec<Tensors> = input.parts.iter().map(tensors).collect::<Result<_>>()?;
        let records = |bytes: u64| gpu.empty(parts.len() * bytes as usize / 4);
        let (moments, sums) = (records(norm.moments_bytes()), records(norm.gradient_sums_bytes()));
        let record = |buffer, k, bytes| part(buffer, k as u64 * bytes, bytes);
        let count = parts.len() as u32;

        let of_part = |(k, tensors): (usize, &Tensors)| {
            let moments = Moments::new(whole(&tensors.x), record(&moments, k, norm.moments_bytes()));
            norm.prepare_moments(tensors.shape, moments.storage(case.storage)).map_err(said)
        };
        let moments_steps = parts.iter().enumerate().map(of_part).collect::<Result<Vec<_>>>()?;
        let finalize = norm.prepare_finalize(Finalize::new(whole(&moments), count)).map_err(said)?;
        let apply = |tensors: &Tensors| {
            norm.prepare_apply(&finalize, tensors.shape, tensors.evaluation(case)).map_err(said)
        };
        let applies = parts.iter().map(apply).collect::<Result<Vec<_>>>()?;

        let gradients = Parameters::new(gpu, norm);
        let of_part = |(k, tensors): (usize, &Tensors)| {
            let record = record(&sums, k, norm.gradient_sums_bytes());
            norm.prepare_gradient_sums(&applies[k], Backward::of(whole(&tensors.dy)), record).map_err(said)
        };
        let sums_steps = parts.iter().enumerate().map(of_part).collect::<Result<Vec<_>>>()?;
        let wanted = gradients.of_records(FinalizeGradients::new(whole(&sums), count));
        let finalize_gradients = norm.prepare_finalize_gradients(&finalize, wanted).map_err(said)?;
        let of_part = |(k, tensors): (usize, &Tensors)| {
            norm.prepare_input_gradient(&applies[k], &finalize_gradients, tensors.backward()).map_err(said)
        };
        let input_gradients = parts.iter().enumerate().map(of_part).collect::<Result<Vec<_>>>()?;

        let mut steps = all(&moments_steps);
        steps.push(&finalize);
        steps.extend(all(&applies).into_iter().chain(all(&sums_steps)));
        steps.push(&finalize_gradients);
        steps.extend(all(&input_gradients));
        self.submit(&steps)?;
        self.read(&parts, &gradients).await
    }

    fn submit(&self, steps: &[&dyn Step]) -> Result<()> {
        self.gpu.run(|pass| steps.iter().for_each(|step| step.record(pass))).map_err(said)
    }

    /// The results of all parts.
    async fn read(&self, parts: &[Tensors], gradients: &Parameters) -> Result<(Vec<f32>, Gradients)> {
        let floats = async |buffer: &Buffer| self.gpu.read(buffer).await.map_err(said);
        let all = async |buffer: fn(&Tensors) -> &Buffer| {
            let mut all = Vec::new();
            for part in parts {
                let values = decode(bytemuck::cast_slice(&floats(buffer(part)).await?), self.case.storage);
                all.extend_from_slice(&values[..part.len]);
            }
            Ok::<_, String>(all)
        };
        let gradients = Gradients {
            dx: Some(all(|part| &part.dx).await?),
            dz: if self.case.epilogue.residual { Some(all(|part| &part.dz).await?) } else { None },
            dweight: Some(floats(&gradients.weight).await?),
            dbias: Some(floats(&gradients.bias).await?),
        };
        Ok((all(|part| &part.y).await?, gradients))
    }
}

fn all<S: Step>(steps: &[S]) -> Vec<&dyn Step> {
    steps.iter().map(|step| step as _).collect()
}

/// The gradients of weight and bias, where the layer has these: each extended case does, a probe has none.
struct Parameters {
    wanted: bool,
    weight: Buffer,
    bias: Buffer,
}

impl Parameters {
    fn new(gpu: &Gpu, norm: &BatchNorm) -> Self {
        let [weight, bias] = [(); 2].map(|()| gpu.empty(norm.features() as usize));
        Self { wanted: norm.weight().is_some(), weight, bias }
    }

    fn of<'a>(&'a self, backward: Backward<'a>) -> Backward<'a> {
        match self.wanted {
            true => backward.weight_gradient(whole(&self.weight)).bias_gradient(whole(&self.bias)),
            false => backward,
        }
    }

    fn of_records<'a>(&'a self, gradients: FinalizeGradients<'a>) -> FinalizeGradients<'a> {
        match self.wanted {
            true => gradients.weight_gradient(whole(&self.weight)).bias_gradient(whole(&self.bias)),
            false => gradients,
        }
    }
}

/// The tensors of a part of a batch on the device, in the case's storage type.
struct Tensors {
    shape: Shape,
    len: usize,
    x: Buffer,
    y: Buffer,
    z: Option<Buffer>,
    dy: Buffer,
    dx: Buffer,
    dz: Buffer,
    /// One bit for each example and position.
    mask: Option<Buffer>,
}

impl Tensors {
    /// Of the examples `first..end`.
    fn new(run: &Run<'_>, input: &Input, first: usize, end: usize) -> Result<Self> {
        let Run { gpu, case } = *run;
        let example = case.shape(1).iter().product::<usize>();
        let positions = example / case.features;
        let values = |all: &[f32]| all[first * example..end * example].to_vec();
        let upload = |values: &[f32]| {
            let mut bytes = encode(values, case.storage);
            bytes.resize(bytes.len().next_multiple_of(4).max(4), 0);
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
            let buffer = gpu.device.create_buffer(&BufferDescriptor {
                label: None,
                size: bytes.len() as u64,
                usage,
                mapped_at_creation: false,
            });
            gpu.queue.write_buffer(&buffer, 0, &bytes);
            buffer
        };
        let x = values(&input.x);
        let dy = input.dy.as_ref().ok_or("dy: an extended case has a gradient in each pass")?;
        let empty = || upload(&vec![0.0; x.len()]);
        Ok(Self {
            shape: layer::shape(case, end - first)?,
            len: x.len(),
            y: empty(),
            z: input.z.as_ref().map(|z| upload(&values(z))),
            dy: upload(&values(dy)),
            dx: empty(),
            dz: empty(),
            mask: input.valid.as_ref().map(|valid| mask_of(gpu, &valid[first * positions..end * positions])),
            x: upload(&x),
        })
    }

    fn evaluation(&self, case: &Case) -> Evaluation<'_> {
        let evaluation = Evaluation::new(whole(&self.x), whole(&self.y)).storage(case.storage);
        let evaluation = evaluation.activation(case.epilogue.activation);
        let evaluation = match &self.z {
            Some(z) => evaluation.residual(whole(z)),
            None => evaluation,
        };
        match &self.mask {
            Some(mask) => evaluation.mask(Mask::Positions(whole(mask))),
            None => evaluation,
        }
    }

    fn training(&self, case: &Case) -> Training<'_> {
        self.evaluation(case).into()
    }

    /// dx and, where there is a residual, dz.
    fn backward(&self) -> Backward<'_> {
        let backward = Backward::of(whole(&self.dy)).input_gradient(whole(&self.dx));
        if self.z.is_some() { backward.residual_gradient(whole(&self.dz)) } else { backward }
    }
}

/// A bit for each flag, 32 to a word.
fn mask_of(gpu: &Gpu, valid: &[bool]) -> Buffer {
    let word = |flags: &[bool]| flags.iter().rev().fold(0u32, |word, &flag| word << 1 | u32::from(flag));
    let words: Vec<u32> = valid.chunks(32).map(word).collect();
    let buffer = gpu.empty(words.len());
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
    buffer
}
