//! The other layers of a multilayer perceptron as WGSL kernels: pipelines, and dispatches bound to buffers.
//!
//! A [`Dispatch`] is prepared once (it allocates) and recorded as often as wanted (it does not).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use testkit::kernel::{self, Dispatch};
use wgpu_batchnorm::wgpu::{self, BufferBinding, util::DeviceExt as _};

mod activation;
mod descent;
mod linear;
mod loss;
mod random;

pub use activation::Activation;
pub use linear::{Operand, matrix, transpose};

macro_rules! kernel {
    ($file:literal $(, after $before:literal)*) => {
        (
            $file,
            concat!(
                $(include_str!(concat!("../shaders/", $before)), "\n",)*
                include_str!(concat!("../shaders/", $file))
            ),
        )
    };
}

/// File name and complete source of every shader module.
pub const SOURCES: [(&str, &str); 13] = [
    kernel!("matmul.wgsl"),
    kernel!("column_sum.wgsl"),
    kernel!("relu.wgsl"),
    kernel!("sigmoid.wgsl"),
    kernel!("mse.wgsl", after "step.wgsl", after "sum.wgsl"),
    kernel!("cross_entropy.wgsl", after "step.wgsl"),
    kernel!("gather.wgsl", after "step.wgsl"),
    kernel!("sgd.wgsl", after "step.wgsl"),
    kernel!("noise.wgsl", after "step.wgsl", after "random.wgsl"),
    kernel!("dropout.wgsl", after "step.wgsl", after "random.wgsl"),
    kernel!("probe.wgsl", after "step.wgsl", after "sum.wgsl"),
    kernel!("histogram.wgsl"),
    kernel!("squares.wgsl", after "sum.wgsl"),
];

/// Intervals of a histogram; BINS in histogram.wgsl.
pub const BINS: u32 = 64;

/// What changes from one step to the next; `Step` in step.wgsl.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Step {
    /// Where the losses of this step go.
    pub slot: u32,
    /// The first of this step's entries in the list of examples.
    pub first: u32,
    /// Seed of what is drawn at random.
    pub seed: u32,
    /// Learning rate.
    pub rate: f32,
}

/// All pipelines. Cloning it refers to the same ones.
#[derive(Clone)]
pub struct Kernels {
    device: wgpu::Device,
    /// Parameters of dispatches, which those share that have the same.
    uniforms: Arc<Mutex<HashMap<Vec<u32>, wgpu::Buffer>>>,
    matmul: wgpu::ComputePipeline,
    matmul_bias: wgpu::ComputePipeline,
    column_sum: wgpu::ComputePipeline,
    relu: [wgpu::ComputePipeline; 2],
    sigmoid: [wgpu::ComputePipeline; 2],
    mse: wgpu::ComputePipeline,
    cross_entropy: wgpu::ComputePipeline,
    gather: wgpu::ComputePipeline,
    sgd: wgpu::ComputePipeline,
    noise: [wgpu::ComputePipeline; 2],
    dropout: [wgpu::ComputePipeline; 2],
    move_along: wgpu::ComputePipeline,
    distance_squared: wgpu::ComputePipeline,
    histogram: wgpu::ComputePipeline,
    squares: wgpu::ComputePipeline,
}

impl Kernels {
    pub fn new(device: &wgpu::Device) -> Self {
        let modules = SOURCES.map(|(name, source)| (name, kernel::module(device, name, source)));
        let pipeline = |file: &str, entry_point: &str| {
            let (_, module) =
                modules.iter().find(|(name, _)| *name == file).expect("a file listed in SOURCES");
            kernel::pipeline(device, module, entry_point, &[])
        };
        Self {
            device: device.clone(),
            uniforms: Arc::default(),
            matmul: pipeline("matmul.wgsl", "matmul"),
            matmul_bias: pipeline("matmul.wgsl", "matmul_bias"),
            column_sum: pipeline("column_sum.wgsl", "column_sum"),
            relu: ["relu", "relu_backward"].map(|name| pipeline("relu.wgsl", name)),
            sigmoid: ["sigmoid", "sigmoid_backward"].map(|name| pipeline("sigmoid.wgsl", name)),
            mse: pipeline("mse.wgsl", "mse"),
            cross_entropy: pipeline("cross_entropy.wgsl", "cross_entropy"),
            gather: pipeline("gather.wgsl", "gather"),
            sgd: pipeline("sgd.wgsl", "sgd"),
            noise: ["noise", "noise_backward"].map(|name| pipeline("noise.wgsl", name)),
            dropout: ["dropout", "dropout_backward"].map(|name| pipeline("dropout.wgsl", name)),
            move_along: pipeline("probe.wgsl", "move_along"),
            distance_squared: pipeline("probe.wgsl", "distance_squared"),
            histogram: pipeline("histogram.wgsl", "histogram"),
            squares: pipeline("squares.wgsl", "squares"),
        }
    }

    /// A buffer for [`Step`], bound to the kernels that need it.
    pub fn step_buffer(&self) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("step"),
            size: size_of::<Step>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        bindings: Vec<(u32, BufferBinding)>,
        workgroups: [u32; 2],
    ) -> Dispatch {
        Dispatch::new(&self.device, pipeline, bindings, workgroups)
    }

    fn uniform(&self, values: &[u32]) -> wgpu::Buffer {
        let mut uniforms = self.uniforms.lock().expect("nobody panics with it");
        let make = || {
            self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents: bytemuck::cast_slice(values),
                usage: wgpu::BufferUsages::UNIFORM,
            })
        };
        uniforms.entry(values.to_vec()).or_insert_with(make).clone()
    }
}

/// Workgroups of 64 invocations for `len` invocations.
fn lines(len: u32) -> [u32; 2] {
    [len.div_ceil(64).max(1), 1]
}
