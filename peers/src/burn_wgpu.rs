//! burn's layer, on its wgpu backend as it sets itself up.

use anyhow::Result;
use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::wgpu::wgpu;
use burn::tensor::{Device, Tensor, TensorData};
use testkit::bench::shapes::{Case, Work};

use crate::{Peer, check};

pub struct Gpu {
    /// With autodiff: without it burn's layer does not train.
    device: Device,
    pub description: String,
    /// Whether the adapter runs on the CPU.
    pub software: bool,
}

impl Gpu {
    pub fn new() -> Result<Self> {
        let (device, setup) = Device::wgpu_options().init_with_setup()?;
        let info = setup.adapter.get_info();
        Ok(Self {
            device: device.autodiff(),
            description: format!("{} ({}, {:?})", info.name, info.driver_info, info.backend),
            software: info.device_type == wgpu::DeviceType::Cpu,
        })
    }

    /// Iterations between waits for the device: as in the crate's bench, a GPU must not wait for the CPU.
    pub fn batch(&self) -> u64 {
        if self.software { 1 } else { 64 }
    }

    /// Tensors to go round, so that none is found in a GPU's cache, of at most 256 MB with what is computed of them.
    fn sets(&self, bytes: u64) -> usize {
        if self.software { 1 } else { (256u64 << 20).div_ceil(4 * bytes).clamp(1, 64) as usize }
    }
}

/// The layer on the tensors of a case.
pub fn peer(gpu: &Gpu, case: &Case) -> Result<Box<dyn Peer>> {
    let [n, c] = [case.axes[0], case.axes[1]];
    Ok(match case.axes[2..] {
        [] => Box::new(Burn::new(gpu, case, [n, c])),
        [h, w] if case.last => Box::new(Burn::new(gpu, case, [n, h, w, c])),
        [h, w] => Box::new(Burn::new(gpu, case, [n, c, h, w])),
        _ => anyhow::bail!("{}: no such tensor is measured", case.name),
    })
}

struct Burn<const D: usize> {
    device: Device,
    features: usize,
    last: bool,
    norm: BatchNorm,
    evaluation: BatchNorm,
    x: Vec<Tensor<D>>,
}

impl<const D: usize> Burn<D> {
    fn new(gpu: &Gpu, case: &Case, axes: [u32; D]) -> Self {
        let device = gpu.device.clone();
        let axes = axes.map(|axis| axis as usize);
        let data = TensorData::new(check::values(case), axes);
        let x = (0..gpu.sets(case.bytes())).map(|_| Tensor::from_data(data.clone(), &device).require_grad());
        let x = x.collect();
        let norm = BatchNormConfig::new(case.features()).init(&device);
        let evaluation = norm.valid();
        Self { device, features: case.features(), last: case.last, norm, evaluation, x }
    }

    /// The result is to be held until the device has the work, or else fusion would not compute it.
    fn once(&self, work: Work, iteration: u64) -> Tensor<D> {
        let x = self.x[iteration as usize % self.x.len()].clone();
        match work {
            Work::TrainingForward => self.norm.forward(self.seen(x)),
            Work::Evaluation => self.evaluation.forward(self.seen(x.without_autodiff())),
            _ => {
                // Of a tensor that is no scalar, it starts from a dy of ones.
                let mut gradients = self.norm.forward(self.seen(x.clone())).backward();
                x.grad_remove(&mut gradients).expect("x requires its gradient")
            }
        }
    }

    /// burn has no layouts: channels last are axes in another order.
    fn seen(&self, x: Tensor<D>) -> Tensor<D> {
        if self.last { x.movedim(D - 1, 1) } else { x }
    }
}

impl<const D: usize> Peer for Burn<D> {
    fn run(&mut self, work: Work, iterations: u64) -> Result<()> {
        for iteration in 0..iterations {
            let result = self.once(work, iteration);
            self.device.flush()?;
            drop(result);
        }
        Ok(self.device.sync()?)
    }

    fn result(&mut self, work: Work) -> Result<Vec<f32>> {
        self.norm = BatchNormConfig::new(self.features).init(&self.device);
        self.evaluation = self.norm.valid();
        Ok(self.once(work, 0).into_data().try_to_vec()?)
    }
}
