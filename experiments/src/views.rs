//! What can be seen of a network while it trains, computed on the device from a pass that just ran.

use anyhow::Result;
use testkit::kernel::Dispatch;
use wgpu_batchnorm::{Moments, MomentsStep, Shape, wgpu};

use crate::gpu::Gpu;
use crate::kernels::BINS;
use crate::network::Network;
use crate::pass::Pass;
use crate::tensor::{Arena, Tensor};

/// Histograms go from −`REACH` to `REACH`.
pub const REACH: f32 = 4.0;

/// Views of the layers of a pass.
pub struct Views {
    /// For each hidden layer, [`BINS`] counts of what enters the activation.
    pub histograms: Tensor,
    /// For each linear layer, the squared norm of its weights' gradient.
    pub gradients: Tensor,
    /// For each normalization, the moments of its input: a record as [`Moments`] describes it.
    pub moments: Vec<Tensor>,
    works: Vec<Dispatch>,
    steps: Vec<MomentsStep>,
    /// The buffer of all moments.
    all: Tensor,
}

impl Views {
    pub fn new(gpu: &Gpu, network: &Network, pass: &Pass) -> Result<Self> {
        let Gpu { device, kernels, .. } = gpu;
        let mut works = vec![];
        let hidden = pass.preactivations.len() as u32;
        let histograms = Tensor::zeros(device, "histograms", hidden * BINS);
        for (layer, values) in (0..).zip(&pass.preactivations) {
            let counts = histograms.part(layer * BINS, BINS);
            works.push(kernels.histogram(REACH, values.binding(), counts.binding()));
        }
        let weights = network.linear_parts(&pass.gradients[0]);
        let gradients = Tensor::zeros(device, "gradient norms", weights.len() as u32);
        for (layer, (gradient, _)) in (0..).zip(&weights) {
            works.push(kernels.squares(layer, gradient.binding(), gradients.binding()));
        }
        let (all, moments, steps) = moments(gpu, network, pass)?;
        Ok(Self { histograms, gradients, moments, works, steps, all })
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass) {
        self.works.iter().for_each(|work| work.record(pass));
        self.steps.iter().for_each(|step| step.record(pass));
    }

    /// Destroys the buffers, where dropping them would leave their memory to a garbage collector (in browsers).
    pub fn destroy(self) {
        [self.histograms, self.gradients, self.all].iter().for_each(|tensor| tensor.buffer.destroy());
    }
}

fn moments(gpu: &Gpu, network: &Network, pass: &Pass) -> Result<(Tensor, Vec<Tensor>, Vec<MomentsStep>)> {
    let mut arena = Arena::new(&gpu.device);
    let len = |bytes: u64| bytes as u32 / 4;
    let places: Vec<_> =
        network.norms().iter().map(|norm| arena.reserve(len(norm.moments_bytes()))).collect();
    let all = Tensor::zeros(&gpu.device, "moments", arena.len());
    let mut steps = vec![];
    let mut records = vec![];
    for ((norm, input), place) in network.norms().iter().zip(&pass.normalized).zip(places) {
        let record = all.part(place, len(norm.moments_bytes()));
        let shape = Shape::rows(pass.rows, norm.features());
        steps.push(norm.prepare_moments(shape, Moments::new(input.binding(), record.binding()))?);
        records.push(record);
    }
    Ok((all, records, steps))
}
