//! The other layers of a multilayer perceptron as WGSL kernels: pipelines, and dispatches bound to buffers.
//!
//! A [`Dispatch`] is prepared once (it allocates) and recorded as often as wanted (it does not).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use testkit::kernel::{self, Dispatch};
use wgpu_batchnorm::wgpu::{self, BufferBinding, util::DeviceExt as _};

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
pub const SOURCES: [(&str, &str); 12] = [
    kernel!("matmul.wgsl"),
    kernel!("column_sum.wgsl"),
    kernel!("relu.wgsl"),
    kernel!("sigmoid.wgsl"),
    kernel!("mse.wgsl", after "step.wgsl", after "sum.wgsl"),
    kernel!("cross_entropy.wgsl", after "step.wgsl"),
    kernel!("gather.wgsl", after "step.wgsl"),
    kernel!("sgd.wgsl", after "step.wgsl"),
    kernel!("noise.wgsl", after "step.wgsl"),
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
    /// Seed of the noise.
    pub seed: u32,
    /// Learning rate.
    pub rate: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Relu,
    Sigmoid,
}

/// A row-major matrix, or with `transposed` the transpose of one.
pub struct Operand<'a> {
    pub binding: BufferBinding<'a>,
    /// Values per row as stored.
    pub width: u32,
    pub transposed: bool,
}

impl Operand<'_> {
    /// Distances between the neighbours in a column and in a row.
    fn strides(&self) -> [u32; 2] {
        if self.transposed { [1, self.width] } else { [self.width, 1] }
    }
}

pub fn matrix(binding: BufferBinding<'_>, width: u32) -> Operand<'_> {
    Operand { binding, width, transposed: false }
}

pub fn transpose(binding: BufferBinding<'_>, width: u32) -> Operand<'_> {
    Operand { binding, width, transposed: true }
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

    /// C = A·B, plus a bias per column. `rows` × `columns` is the size of C, `depth` the length of the sums.
    pub fn matmul(
        &self,
        [rows, columns, depth]: [u32; 3],
        a: Operand,
        b: Operand,
        bias: Option<BufferBinding>,
        c: BufferBinding,
    ) -> Dispatch {
        let ([a_row, a_depth], [b_depth, b_column]) = (a.strides(), b.strides());
        let product = self.uniform(&[rows, columns, depth, a_row, a_depth, b_depth, b_column, 0]);
        let workgroups = [columns.div_ceil(64), rows.div_ceil(64)];
        let mut bindings =
            vec![(0, product.as_entire_buffer_binding()), (1, a.binding), (2, b.binding), (3, c)];
        let pipeline = if bias.is_some() { &self.matmul_bias } else { &self.matmul };
        bindings.extend(bias.map(|bias| (4, bias)));
        self.dispatch(pipeline, bindings, workgroups)
    }

    /// Sums over the rows of a `rows` × `columns` matrix.
    pub fn column_sum(
        &self,
        [rows, columns]: [u32; 2],
        matrix: BufferBinding,
        sums: BufferBinding,
    ) -> Dispatch {
        let size = self.uniform(&[rows, columns]);
        let bindings = vec![(0, size.as_entire_buffer_binding()), (1, matrix), (2, sums)];
        self.dispatch(&self.column_sum, bindings, [columns.div_ceil(16), 1])
    }

    /// y = f(x) of `len` values, both padded to a multiple of 4.
    pub fn activation(&self, f: Activation, len: u32, x: BufferBinding, y: BufferBinding) -> Dispatch {
        self.dispatch(&self.activations(f)[0], vec![(0, x), (1, y)], lines(len.div_ceil(4)))
    }

    /// From y = f(x) and the gradient of y, the gradient of x in its place.
    pub fn activation_backward(
        &self,
        f: Activation,
        len: u32,
        y: BufferBinding,
        gradient: BufferBinding,
    ) -> Dispatch {
        self.dispatch(&self.activations(f)[1], vec![(0, y), (1, gradient)], lines(len.div_ceil(4)))
    }

    fn activations(&self, f: Activation) -> &[wgpu::ComputePipeline; 2] {
        match f {
            Activation::Relu => &self.relu,
            Activation::Sigmoid => &self.sigmoid,
        }
    }

    /// Mean-squared error over all values of `target`, and its gradient.
    pub fn mse(
        &self,
        step: &wgpu::Buffer,
        prediction: BufferBinding,
        target: BufferBinding,
        gradient: BufferBinding,
        losses: BufferBinding,
    ) -> Dispatch {
        let step = step.as_entire_buffer_binding();
        let bindings = vec![(0, step), (1, prediction), (2, target), (3, gradient), (4, losses)];
        self.dispatch(&self.mse, bindings, [1, 1])
    }

    /// Mean cross-entropy of softmax(logits), its gradient, and the count of right answers.
    #[allow(clippy::too_many_arguments)]
    pub fn cross_entropy(
        &self,
        step: &wgpu::Buffer,
        [rows, classes]: [u32; 2],
        logits: BufferBinding,
        labels: BufferBinding,
        gradient: BufferBinding,
        losses: BufferBinding,
        correct: BufferBinding,
    ) -> Dispatch {
        let size = self.uniform(&[rows, classes]);
        let bindings = vec![
            (0, step.as_entire_buffer_binding()),
            (1, size.as_entire_buffer_binding()),
            (2, logits),
            (3, labels),
            (4, gradient),
            (5, losses),
            (6, correct),
        ];
        self.dispatch(&self.cross_entropy, bindings, [1, 1])
    }

    /// `rows` examples of `width` byte-sized pixels, times `scale`, with their labels.
    #[allow(clippy::too_many_arguments)]
    pub fn gather(
        &self,
        step: &wgpu::Buffer,
        [rows, width]: [u32; 2],
        scale: f32,
        pixels: BufferBinding,
        labels: BufferBinding,
        examples: BufferBinding,
        inputs: BufferBinding,
        picked: BufferBinding,
    ) -> Dispatch {
        let batch = self.uniform(&[width, scale.to_bits()]);
        let bindings = vec![
            (0, step.as_entire_buffer_binding()),
            (1, batch.as_entire_buffer_binding()),
            (2, pixels),
            (3, labels),
            (4, examples),
            (5, inputs),
            (6, picked),
        ];
        self.dispatch(&self.gather, bindings, [rows, 1])
    }

    /// parameters -= rate · gradients, `len` of them.
    pub fn sgd(
        &self,
        step: &wgpu::Buffer,
        len: u32,
        parameters: BufferBinding,
        gradients: BufferBinding,
    ) -> Dispatch {
        let bindings = vec![(0, step.as_entire_buffer_binding()), (1, parameters), (2, gradients)];
        self.dispatch(&self.sgd, bindings, lines(len))
    }

    /// Noise on `rows` × `features` values, in place; `layer` makes every layer's different.
    pub fn noise(
        &self,
        step: &wgpu::Buffer,
        [rows, features]: [u32; 2],
        layer: u32,
        x: BufferBinding,
    ) -> Dispatch {
        self.noise_with(&self.noise[0], step, [rows, features], layer, x)
    }

    /// The gradient of [`Kernels::noise`], in place.
    pub fn noise_backward(
        &self,
        step: &wgpu::Buffer,
        [rows, features]: [u32; 2],
        layer: u32,
        gradient: BufferBinding,
    ) -> Dispatch {
        self.noise_with(&self.noise[1], step, [rows, features], layer, gradient)
    }

    fn noise_with(
        &self,
        pipeline: &wgpu::ComputePipeline,
        step: &wgpu::Buffer,
        [rows, features]: [u32; 2],
        layer: u32,
        values: BufferBinding,
    ) -> Dispatch {
        let size = self.uniform(&[rows * features, features, layer, 0]);
        let bindings =
            vec![(0, step.as_entire_buffer_binding()), (1, size.as_entire_buffer_binding()), (2, values)];
        self.dispatch(pipeline, bindings, lines(rows * features))
    }

    /// result = origin - rate · direction, `len` values.
    pub fn move_along(
        &self,
        step: &wgpu::Buffer,
        len: u32,
        origin: BufferBinding,
        direction: BufferBinding,
        result: BufferBinding,
    ) -> Dispatch {
        let bindings = vec![(0, step.as_entire_buffer_binding()), (1, origin), (2, direction), (3, result)];
        self.dispatch(&self.move_along, bindings, lines(len))
    }

    /// Adds the squared distance of two tensors to `sums` at the step's slot.
    pub fn distance_squared(
        &self,
        step: &wgpu::Buffer,
        left: BufferBinding,
        right: BufferBinding,
        sums: BufferBinding,
    ) -> Dispatch {
        let bindings = vec![(0, step.as_entire_buffer_binding()), (4, left), (5, right), (6, sums)];
        self.dispatch(&self.distance_squared, bindings, [1, 1])
    }

    /// Counts the values of `x` in [`BINS`] equal intervals of −`reach` to `reach`; the outermost take what lies beyond.
    pub fn histogram(&self, reach: f32, x: BufferBinding, counts: BufferBinding) -> Dispatch {
        let scale = self.uniform(&[(BINS as f32 / (2.0 * reach)).to_bits()]);
        let bindings = vec![(0, scale.as_entire_buffer_binding()), (1, x), (2, counts)];
        self.dispatch(&self.histogram, bindings, [1, 1])
    }

    /// The sum of squares of `values`, as number `slot` of `sums`.
    pub fn squares(&self, slot: u32, values: BufferBinding, sums: BufferBinding) -> Dispatch {
        let slot = self.uniform(&[slot]);
        let bindings = vec![(0, slot.as_entire_buffer_binding()), (1, values), (2, sums)];
        self.dispatch(&self.squares, bindings, [1, 1])
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
