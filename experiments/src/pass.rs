//! One kind of work of a network, prepared once and recorded every step.

use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu;
use wgpu_batchnorm::{self as bn, Plan};

use crate::gpu::Gpu;
use crate::kernels::Step;
use crate::tensor::Tensor;

/// One kind of work of a network on `rows` examples, with its buffers.
pub struct Pass {
    pub rows: u32,
    /// To be filled in: `rows` examples.
    pub inputs: Tensor,
    /// To be filled in: what the network should say. Labels (u32) for the cross-entropy.
    pub targets: Tensor,
    /// What the network says.
    pub outputs: Tensor,
    /// Input of every hidden activation, in layer order.
    pub preactivations: Vec<Tensor>,
    /// Input of every normalization, in layer order.
    pub normalized: Vec<Tensor>,
    /// The loss of each slot, and for the cross-entropy how many answers were right (u32).
    pub losses: Tensor,
    pub correct: Tensor,
    /// Gradients, in the order of [`Network::parameters`](crate::network::Network::parameters).
    pub gradients: Vec<Tensor>,
    pub(crate) step: wgpu::Buffer,
    pub(crate) forward: Vec<Work>,
    pub(crate) backward: Vec<Work>,
    pub(crate) update: Vec<Work>,
    /// Every buffer of the pass's own.
    pub(crate) buffers: Vec<wgpu::Buffer>,
}

/// A part of a pass's work.
pub enum Work {
    Kernel(Dispatch),
    /// A step of the layer's.
    Layer(Box<dyn bn::Step>),
}

impl Work {
    pub(crate) fn layer(step: impl bn::Step + 'static) -> Self {
        Self::Layer(Box::new(step))
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass) {
        match self {
            Self::Kernel(work) => work.record(pass),
            Self::Layer(work) => work.record(pass),
        }
    }
}

impl Pass {
    /// Sets what the next submission works on: where its losses go, which examples, the learning rate.
    pub fn set(&self, gpu: &Gpu, step: Step) {
        gpu.queue.write_buffer(&self.step, 0, bytemuck::bytes_of(&step));
    }

    /// The uniform buffer of [`Pass::set`], for further kernels of the step.
    pub fn step(&self) -> &wgpu::Buffer {
        &self.step
    }

    /// All work of a training step, in order: to be recorded piece by piece, where the first one compiles pipelines.
    pub fn works(&self) -> impl Iterator<Item = &Work> {
        self.forward.iter().chain(&self.backward).chain(&self.update)
    }

    /// How the normalizations are done, in the order of the work.
    pub fn plans(&self) -> Vec<&Plan> {
        let mut plans = vec![];
        for work in self.works() {
            if let Work::Layer(step) = work {
                plans.push(step.plan());
            }
        }
        plans
    }

    /// Destroys the buffers of the pass, where dropping them would leave their memory to a garbage collector (in browsers).
    pub fn destroy(self) {
        self.buffers.iter().for_each(wgpu::Buffer::destroy);
    }

    /// Outputs and loss.
    pub fn forward(&self, pass: &mut wgpu::ComputePass) {
        self.forward.iter().for_each(|work| work.record(pass));
    }

    /// Submits what the network says of the examples that `gather` picks.
    pub fn evaluate(&self, gpu: &Gpu, gather: &Dispatch, step: Step) {
        self.set(gpu, step);
        gpu.submit(|encoder| {
            let mut compute = encoder.begin_compute_pass(&Default::default());
            gather.record(&mut compute);
            self.forward(&mut compute);
        });
    }

    /// Gradients of all parameters.
    pub fn backward(&self, pass: &mut wgpu::ComputePass) {
        self.backward.iter().for_each(|work| work.record(pass));
    }

    /// Stochastic gradient descent.
    pub fn update(&self, pass: &mut wgpu::ComputePass) {
        self.update.iter().for_each(|work| work.record(pass));
    }
}
