//! Experiment 2, the figure of the batch-normalization paper: three hidden layers of 100 sigmoid units learn to
//! read digits.

use anyhow::{Result, ensure};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Normal};
use testkit::kernel::Dispatch;

use crate::data::{Classification, Images};
use crate::gpu::Gpu;
use crate::kernels::Activation;
use crate::network::{Linear, Loss, Network, Normalization};
use crate::pass::Pass;
use crate::tensor::Tensor;

#[cfg(feature = "program")]
mod evaluation;
#[cfg(feature = "program")]
mod training;

#[cfg(feature = "program")]
pub use evaluation::{accuracy_on_batches, accuracy_on_test_set};
#[cfg(feature = "program")]
pub use training::{Curve, Plan, Trained, Watch, Watched, train};

pub const STEPS: u32 = 2000;
pub const BATCH: u32 = 60;
pub const RATE: f32 = 0.5;
/// The accuracy is measured every so many steps.
pub const EVERY: u32 = 10;

const HIDDEN: [u32; 3] = [100; 3];
const INITIAL_DEVIATION: f32 = 0.1;

/// A task with its images on the device.
pub struct Task {
    pub data: Classification,
    train: Uploaded,
    test: Uploaded,
}

struct Uploaded {
    pixels: Tensor,
    labels: Tensor,
}

impl Task {
    pub fn new(gpu: &Gpu, data: Classification) -> Result<Self> {
        ensure!(
            data.train.len() >= BATCH as usize,
            "{}: at least {BATCH} training images are needed, not {}",
            data.name,
            data.train.len()
        );
        let upload = |images: &Images| -> Result<Uploaded> {
            let limit = gpu.device.limits().max_storage_buffer_binding_size;
            let size = images.pixels.len().next_multiple_of(4);
            ensure!(size as u64 <= limit, "{size} bytes of images exceed the device's limit of {limit}");
            let mut bytes = images.pixels.clone();
            bytes.resize(size, 0);
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
            Ok(Uploaded {
                pixels: Tensor::upload(&gpu.device, "pixels", &words),
                labels: Tensor::upload(&gpu.device, "labels", &images.labels),
            })
        };
        let (train, test) = (upload(&data.train)?, upload(&data.test)?);
        Ok(Self { data, train, test })
    }

    /// Picks `pass.rows` of these test images at a time as the pass's input.
    pub fn gather_test(&self, gpu: &Gpu, pass: &Pass, examples: &[u32]) -> Dispatch {
        self.gather_tested(gpu, pass, &Tensor::upload(&gpu.device, "examples", examples))
    }

    /// The same with examples that are on the device.
    pub fn gather_tested(&self, gpu: &Gpu, pass: &Pass, examples: &Tensor) -> Dispatch {
        self.gather(gpu, &self.test, pass, examples)
    }

    /// The same with training images.
    pub fn gather_train(&self, gpu: &Gpu, pass: &Pass, examples: &[u32]) -> Dispatch {
        self.gather_scheduled(gpu, pass, &Tensor::upload(&gpu.device, "examples", examples))
    }

    /// The same with examples that are on the device.
    pub fn gather_scheduled(&self, gpu: &Gpu, pass: &Pass, examples: &Tensor) -> Dispatch {
        self.gather(gpu, &self.train, pass, examples)
    }

    fn gather(&self, gpu: &Gpu, images: &Uploaded, pass: &Pass, examples: &Tensor) -> Dispatch {
        gpu.kernels.gather(
            pass.step(),
            [pass.rows, self.data.train.width as u32],
            self.data.scale,
            images.pixels.binding(),
            images.labels.binding(),
            examples.binding(),
            pass.inputs.binding(),
            pass.targets.binding(),
        )
    }

    /// The figure's network. Its initial weights are the same with and without normalization.
    pub fn network(&self, gpu: &Gpu, normalization: Normalization, seed: u64) -> Result<Network> {
        self.network_of(gpu, &HIDDEN, normalization, seed)
    }

    /// The same with these hidden layers.
    pub fn network_of(
        &self,
        gpu: &Gpu,
        hidden: &[u32],
        normalization: Normalization,
        seed: u64,
    ) -> Result<Network> {
        let layers = self.layers(hidden, seed)?;
        Network::new(gpu, &layers, Activation::Sigmoid, normalization, Loss::CrossEntropy)
    }

    /// Initial layers with these hidden ones: weights normal, deviation 0.1; no biases.
    pub fn layers(&self, hidden: &[u32], seed: u64) -> Result<Vec<Linear>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let normal = Normal::new(0.0, INITIAL_DEVIATION)?;
        let mut layer = |inputs: u32, outputs: u32| {
            let weight = (0..inputs * outputs).map(|_| normal.sample(&mut rng)).collect();
            Linear { inputs, outputs, weight, bias: vec![0.0; outputs as usize] }
        };
        let widths = [&[self.data.train.width as u32], hidden, &[self.data.classes]].concat();
        Ok(widths.windows(2).map(|w| layer(w[0], w[1])).collect())
    }

    /// The training images of every step: each epoch a new order, an incomplete last batch dropped.
    pub fn schedule(&self, batch: u32, steps: u32, seed: u64) -> Vec<u32> {
        // Another stream than the initial weights'.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        let mut order: Vec<u32> = (0..self.data.train.len() as u32).collect();
        let per_epoch = order.len() / batch as usize * batch as usize;
        let mut schedule = vec![];
        while schedule.len() < (steps * batch) as usize {
            order.shuffle(&mut rng);
            schedule.extend_from_slice(&order[..per_epoch]);
        }
        schedule
    }
}
