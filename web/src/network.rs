//! One of the two networks, with all that it does.

use anyhow::Result;
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::kernels::Step;
use batchnorm_experiments::network::{Mode, Network};
use batchnorm_experiments::pass::{Pass, Work};
use batchnorm_experiments::tensor::Tensor;
use batchnorm_experiments::views::Views;
use wgpu_batchnorm::wgpu;

use crate::settings::Settings;
use crate::task::{Feed, Task};

/// Losses that the device keeps, in a ring.
pub const RING: u32 = 1024;

pub struct Net {
    network: Network,
    pub train: Pass,
    feed: Feed,
    /// Evaluation with running statistics and, where there is normalization, with those of the batch.
    evaluations: Vec<Pass>,
    pub views: Views,
    seed: u32,
}

impl Net {
    pub fn new(gpu: &Gpu, task: &Task<'_>, settings: &Settings, normalized: bool) -> Result<Self> {
        let normalization = settings.normalization(normalized);
        let network = Network::new(gpu, task.layers(), settings.activation(), normalization, task.loss())?;
        let train = network.prepare(settings.batch, Mode::Train, RING)?;
        let feed = task.feed(gpu, &train, settings.seed)?;
        let modes: &[Mode] =
            if normalized { &[Mode::Evaluate, Mode::EvaluateOnBatch] } else { &[Mode::Evaluate] };
        let prepare = |&mode: &Mode| {
            let pass = network.prepare(task.evaluated(), mode, 1)?;
            task.fill(gpu, &pass);
            Ok(pass)
        };
        let evaluations = modes.iter().map(prepare).collect::<Result<_>>()?;
        let views = Views::new(gpu, &network, &train)?;
        Ok(Self { network, train, feed, evaluations, views, seed: settings.seed })
    }

    /// Sets the step of this number: what is submitted next works on it.
    pub fn set(&self, gpu: &Gpu, number: u32, rate: f32) {
        let (slot, first) = (number % RING, self.feed.first(number));
        self.train.set(gpu, Step { slot, first, seed: self.seed, rate });
    }

    /// The examples of a step.
    pub fn feed(&self, encoder: &mut wgpu::CommandEncoder, number: u32) {
        self.feed.record(encoder, number);
    }

    /// All of a training step, in order.
    pub fn works(&self) -> impl Iterator<Item = &Work> {
        self.train.works()
    }

    /// Evaluates, and computes what is to be seen of the last step.
    pub fn measure(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) {
        for evaluation in &self.evaluations {
            evaluation.set(gpu, Step::default());
        }
        let mut pass = encoder.begin_compute_pass(&Default::default());
        self.evaluations.iter().for_each(|evaluation| evaluation.forward(&mut pass));
        self.views.record(&mut pass);
    }

    /// Of each evaluation, its loss and how many answers were right.
    pub fn evaluated(&self) -> Vec<Tensor> {
        let of = |pass: &Pass| [pass.losses.part(0, 1), pass.correct.part(0, 1)];
        self.evaluations.iter().flat_map(of).collect()
    }

    /// Moments, running mean and running variance of a normalization, where there is one. The last two are read from the
    /// layer's own buffer.
    pub fn statistics(&self, layer: usize) -> Vec<Tensor> {
        let (Some(norm), Some(moments)) = (self.network.norms().get(layer), self.views.moments.get(layer))
        else {
            return vec![];
        };
        let tensor = |binding: wgpu::BufferBinding<'_>| Tensor {
            buffer: binding.buffer.clone(),
            offset: binding.offset,
            len: norm.features(),
        };
        let running = [norm.running_mean(), norm.running_var()].into_iter().flatten().map(tensor);
        std::iter::once(moments.clone()).chain(running).collect()
    }

    /// The distance between the vectors of a record of moments.
    pub fn stride(&self) -> usize {
        self.network.norms().first().map_or(0, |norm| norm.parameter_stride() as usize)
    }

    pub fn destroy(self) {
        self.views.destroy();
        self.feed.destroy();
        self.evaluations.into_iter().for_each(Pass::destroy);
        self.train.destroy();
        self.network.destroy();
    }
}
