//! A network with two batch norm layers, and its gradient descent on one rank's shard of a batch.
//!
//! ```text
//! x ─► dense ─► batch norm ─► ReLU, dense ─► batch norm ─► ReLU, dense ─► logits
//! ```

use rand::{RngExt, SeedableRng, rngs::StdRng};
use testkit::{gpu::part, gpu::whole, kernel};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{BatchNorm, BatchNormDescriptor, Context, State, read_states, wgpu};

use crate::Result;
use crate::data::PIXELS;

pub const WIDTHS: [usize; 4] = [PIXELS, 32, 32, 10];
const RATE: f64 = 0.5;

pub type Record = Box<dyn Fn(&mut wgpu::ComputePass<'_>)>;

/// A replica of the network: every rank has the same one.
pub struct Network {
    pub gpu: Gpu,
    module: wgpu::ShaderModule,
    /// Weights only: batch norm would subtract a bias with the mean, and it has a bias of its own.
    pub dense: Vec<wgpu::Buffer>,
    pub norms: Vec<BatchNorm>,
}

impl Network {
    pub fn new(gpu: Gpu) -> Result<Self> {
        let context = Context::new(&gpu.device);
        let mut rng = StdRng::seed_from_u64(0);
        let mut dense = Vec::new();
        for ends in WIDTHS.windows(2) {
            let limit = (3.0 / ends[0] as f32).sqrt();
            let values: Vec<f32> = (0..ends[0] * ends[1]).map(|_| rng.random_range(-limit..limit)).collect();
            dense.push(gpu.upload(&values));
        }
        let norm = |features: usize| {
            let descriptor = BatchNormDescriptor { features: features as u32, ..Default::default() };
            BatchNorm::new(&context, &descriptor)
        };
        let norms = vec![norm(WIDTHS[1])?, norm(WIDTHS[2])?];
        let source = concat!(include_str!("../../../examples/train.wgsl"), include_str!("softmax.wgsl"));
        let module = kernel::module(&gpu.device, "digits", source);
        Ok(Self { gpu, module, dense, norms })
    }

    /// A kernel of dense layer `i`, with an invocation for each value of the last binding. `batch` is for the loss.
    pub fn kernel(
        &self,
        entry: &str,
        i: usize,
        batch: usize,
        bindings: &[(u32, wgpu::BufferBinding<'_>)],
    ) -> Record {
        let [inputs, outputs] = [i, i + 1].map(|end| WIDTHS[end] as f64);
        let relu = if i > 0 { 1.0 } else { 0.0 };
        let constants = [
            ("INPUTS", inputs),
            ("OUTPUTS", outputs),
            ("RELU", relu),
            ("RATE", RATE),
            ("BATCH", batch as f64),
        ];
        let pipeline = kernel::pipeline(&self.gpu.device, &self.module, entry, &constants);
        let written = &bindings.last().expect("a kernel writes to its last binding").1;
        let bytes = written.size.map_or(written.buffer.size(), u64::from);
        let workgroups = [(bytes / 4).div_ceil(64) as u32, 1];
        let dispatch =
            kernel::Dispatch::new(&self.gpu.device, &pipeline, bindings.iter().cloned(), workgroups);
        Box::new(move |pass| dispatch.record(pass))
    }

    /// The gradient descent of all parameters, given the gradients of dense layers in one buffer (see
    /// [`gradient_of`]) and of each batch norm layer in one.
    pub fn descend(&self, dense: &wgpu::Buffer, norms: &[wgpu::Buffer]) -> Vec<Record> {
        let mut records = vec![];
        for (i, weight) in self.dense.iter().enumerate() {
            records.push(self.kernel("descend", i, 1, &[(2, gradient_of(dense, i)), (3, whole(weight))]));
        }
        for (i, (norm, gradient)) in self.norms.iter().zip(norms).enumerate() {
            let parameters = norm.parameters().expect("the layers have weights and biases");
            records.push(self.kernel("descend", i, 1, &[(2, whole(gradient)), (3, parameters)]));
        }
        records
    }

    /// Runs these as one submission, and waits for nothing.
    pub fn submit<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        records.for_each(|record| record(&mut pass));
        drop(pass);
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// The weights of the dense layers.
    pub fn weights(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self.dense.iter().map(|weight| self.gpu.download(weight)).collect::<Result<_, _>>()?)
    }

    pub fn states(&self) -> Result<Vec<State>> {
        Ok(pollster::block_on(read_states(&self.gpu.queue, &self.norms.iter().collect::<Vec<_>>()))?)
    }
}

/// Values of the gradients of all dense layers.
pub fn gradients_len() -> usize {
    WIDTHS.windows(2).map(|ends| ends[0] * ends[1]).sum()
}

/// The gradient of dense layer `i` among those of all. Each is a multiple of 256 bytes long, as offsets must be.
pub fn gradient_of(all: &wgpu::Buffer, i: usize) -> wgpu::BufferBinding<'_> {
    let bytes = |ends: &[usize]| (ends[0] * ends[1] * 4) as u64;
    let offset = WIDTHS.windows(2).take(i).map(bytes).sum();
    part(all, offset, bytes(&WIDTHS[i..i + 2]))
}
