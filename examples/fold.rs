//! A pretrained network, a text-direction classifier (MobileNetV3) with 35 batch norms, as it is and with its batch norms
//! folded into the convolutions before them: outputs and time. Run it with `cargo run --release --example fold`.
//!
//! examples/data/README.md says where the weights come from, and what the images are.

use std::error::Error;
use std::time::{Duration, Instant};

use testkit::{gpu::whole, kernel};
use wgpu_batchnorm::checkpoint::Checkpoint;
use wgpu_batchnorm::fold::WeightShape;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{BatchNorm, BatchNormDescriptor, Context, Evaluation, Names, Shape, wgpu};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;
type Record = Box<dyn Fn(&mut wgpu::ComputePass<'_>)>;

const BATCH: usize = 4;
const SIZE: [usize; 2] = [48, 192];

/// `conv2_expand` and `bn_scale` make `conv2_expand_bn_scale`.
const NAMES: Names = Names::ONNX
    .separator("_")
    .weight("bn_scale")
    .bias("bn_offset")
    .running_mean("bn_mean")
    .running_var("bn_variance");

fn main() -> Result<()> {
    let gpu = Gpu::new()?;
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/ppocr_cls.safetensors"))?;
    let checkpoint = Checkpoint::open(&file)?;
    println!("{}, {} batch norms, {BATCH} images", gpu.describe(), checkpoint.prefixes(&NAMES).len());

    let expected = checkpoint.values("expected", &[BATCH, 2])?;
    let networks = [Network::new(&gpu, &checkpoint, false)?, Network::new(&gpu, &checkpoint, true)?];
    let logits = [networks[0].run(&gpu)?, networks[1].run(&gpu)?];
    let times = median_times(&gpu, &networks)?;
    for (i, what) in ["with batch norms", "folded"].into_iter().enumerate() {
        let probabilities: Vec<f32> = logits[i].chunks(2).flat_map(softmax).collect();
        let off = largest_difference(&probabilities, &expected);
        assert!(off < 1e-4, "probabilities are off by {off:e} from ONNX Runtime's");
        let (steps, time) = (networks[i].records.len(), times[i]);
        println!("{what:>16}: {steps:3} steps, {time:.2?}; off from ONNX Runtime by {off:.1e}");
    }
    let largest = logits[0].iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let off = largest_difference(&logits[0], &logits[1]) / largest;
    println!("folding changes the outputs by {off:.1e} of the largest");
    assert!(off < 1e-5, "35 layers, each within 1e-6");
    Ok(())
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |largest, (a, b)| largest.max((a - b).abs()))
}

fn softmax(logits: &[f32]) -> [f32; 2] {
    let ratio = (logits[1] - logits[0]).exp();
    [1.0 / (1.0 + ratio), ratio / (1.0 + ratio)]
}

/// Four digits in each image, dark on light: two images upright, then the same upside down.
fn images() -> Vec<f32> {
    let digits = include_bytes!("data/digits_images.u8");
    let mut images = Vec::new();
    for image in 0..BATCH {
        for _channel in 0..3 {
            for at in 0..SIZE[0] * SIZE[1] {
                let at = if image < BATCH / 2 { at } else { SIZE[0] * SIZE[1] - 1 - at };
                let (row, column) = (at / SIZE[1] / 6, at % SIZE[1] / 6);
                let digit = image % (BATCH / 2) * 4 + column / 8;
                images.push(1.0 - f32::from(digits[digit * 64 + row * 8 + column % 8]) / 8.0);
            }
        }
    }
    images
}

#[derive(Clone, Copy, PartialEq)]
enum Activation {
    None,
    Relu,
    HardSwish,
    HardSigmoid,
}

/// A tensor between two layers, channels-first.
#[derive(Clone)]
struct Map {
    buffer: wgpu::Buffer,
    channels: usize,
    size: [usize; 2],
}

/// What a kernel sees of its input.
#[derive(Clone, Copy)]
struct Window {
    /// Height and width.
    kernel: usize,
    stride: [usize; 2],
    /// Channels of a group.
    inputs: usize,
}

impl Window {
    const ONE: Self = Self { kernel: 1, stride: [1, 1], inputs: 1 };
}

struct Network<'a> {
    gpu: &'a Gpu,
    context: Context,
    checkpoint: &'a Checkpoint<'a>,
    module: wgpu::ShaderModule,
    folded: bool,
    records: Vec<Record>,
    logits: wgpu::Buffer,
}

impl<'a> Network<'a> {
    fn new(gpu: &'a Gpu, checkpoint: &'a Checkpoint<'a>, folded: bool) -> Result<Self> {
        let mut network = Self {
            gpu,
            context: Context::new(&gpu.device),
            checkpoint,
            module: kernel::module(&gpu.device, "fold", include_str!("fold.wgsl")),
            folded,
            records: Vec::new(),
            logits: gpu.empty(BATCH * 2),
        };
        let images = Map { buffer: gpu.upload(&images()), channels: 3, size: SIZE };
        let mut x = network.normalized("conv1", &images, [2, 2], Activation::HardSwish)?;
        for block in 2..=12 {
            x = network.block(&format!("conv{block}"), &x, block)?;
        }
        let last = network.normalized("conv_last", &x, [1, 1], Activation::HardSwish)?;
        let pooled = network.map(last.channels, [1, 1]);
        network.step("pool", 2, &last, &pooled);
        // The weight of the last layer is stored as [inputs, outputs].
        let stored = checkpoint.values("fc_0.w_0", &[pooled.channels, 2])?;
        let weight: Vec<f32> = (0..2).flat_map(|o| stored[o..].iter().step_by(2).copied()).collect();
        let bias = checkpoint.values("fc_0.b_0", &[2])?;
        let logits = Map { buffer: network.logits.clone(), channels: 2, size: [1, 1] };
        let window = Window { inputs: pooled.channels, ..Window::ONE };
        network.convolve(&pooled, &logits, window, &weight, &bias);
        Ok(network)
    }

    /// An inverted residual: a wider layer, a depthwise one, weights for its channels in most blocks, a narrow layer.
    fn block(&mut self, name: &str, x: &Map, number: usize) -> Result<Map> {
        let activation = if number < 5 { Activation::Relu } else { Activation::HardSwish };
        let stride = if [2, 3, 5, 10].contains(&number) { [2, 1] } else { [1, 1] };
        let wide = self.normalized(&format!("{name}_expand"), x, [1, 1], activation)?;
        let deep = self.normalized(&format!("{name}_depthwise"), &wide, stride, activation)?;
        if self.checkpoint.shape(&format!("{name}_se_1_weights")).is_some() {
            let pooled = self.map(deep.channels, [1, 1]);
            self.step("pool", 1, &deep, &pooled);
            let squeezed = self.biased(&format!("{name}_se_1"), &pooled, Activation::Relu)?;
            let weights = self.biased(&format!("{name}_se_2"), &squeezed, Activation::HardSigmoid)?;
            self.step("scale", 1, &weights, &deep);
        }
        let narrow = self.normalized(&format!("{name}_linear"), &deep, [1, 1], Activation::None)?;
        if stride == [1, 1] && narrow.channels == x.channels {
            self.step("add", 1, x, &narrow);
        }
        Ok(narrow)
    }

    /// A convolution with a batch norm: two steps, or one with both in it.
    fn normalized(&mut self, name: &str, x: &Map, stride: [usize; 2], activation: Activation) -> Result<Map> {
        let ([outputs, inputs, kernel, _], weight) = self.weight(name)?;
        let window = Window { kernel, stride, inputs };
        let size = std::array::from_fn(|a| (x.size[a] - 1) / stride[a] + 1);
        let y = self.map(outputs, size);
        let state = self.checkpoint.state(&NAMES, name)?;
        let descriptor = BatchNormDescriptor { features: outputs as u32, ..Default::default() };
        if self.folded {
            let groups = x.channels / inputs;
            let shape_of = WeightShape::convolution(outputs, x.channels, &[kernel, kernel]).groups(groups);
            let affine = state.scale_and_shift(descriptor.eps)?;
            let folded = affine.fold_into_preceding(&shape_of, &weight, None)?;
            self.convolve(x, &y, window, &folded.weight, &folded.bias);
        } else {
            self.convolve(x, &y, window, &weight, &vec![0.0; outputs]);
            let norm = BatchNorm::new(&self.context, &descriptor)?;
            norm.set_state(&self.gpu.queue, &state)?;
            let shape = Shape::channels_first(BATCH as u32, outputs as u32, &size.map(|size| size as u32));
            let in_place = Evaluation::new(whole(&y.buffer), whole(&y.buffer));
            let step = norm.prepare_evaluation(shape, in_place)?;
            self.records.push(Box::new(move |pass| step.record(pass)));
        }
        self.activate(&y, activation);
        Ok(y)
    }

    /// A layer with a bias, on single values.
    fn biased(&mut self, name: &str, x: &Map, activation: Activation) -> Result<Map> {
        let ([outputs, inputs, ..], weight) = self.weight(name)?;
        let bias = self.checkpoint.values(&format!("{name}_offset"), &[outputs])?;
        let y = self.map(outputs, [1, 1]);
        self.convolve(x, &y, Window { inputs, ..Window::ONE }, &weight, &bias);
        self.activate(&y, activation);
        Ok(y)
    }

    /// A weight `[outputs, inputs of a group, height, width]`.
    fn weight(&self, name: &str) -> Result<([usize; 4], Vec<f32>)> {
        let name = format!("{name}_weights");
        let shape = self.checkpoint.shape(&name).ok_or_else(|| format!("{name} is missing"))?;
        Ok((shape.try_into()?, self.checkpoint.values(&name, shape)?))
    }

    fn map(&self, channels: usize, size: [usize; 2]) -> Map {
        Map { buffer: self.gpu.empty(BATCH * channels * size[0] * size[1]), channels, size }
    }

    fn convolve(&mut self, x: &Map, y: &Map, window: Window, weight: &[f32], bias: &[f32]) {
        let [weight, bias] = [weight, bias].map(|values| self.gpu.upload(values));
        let buffers = [(1, &x.buffer), (2, &weight), (3, &bias), (4, &y.buffer)];
        self.dispatch("convolve", &self.sizes(x, y, window), &buffers);
    }

    fn activate(&mut self, y: &Map, activation: Activation) {
        if activation != Activation::None {
            let mut constants = self.sizes(y, y, Window::ONE);
            constants.push(("ACTIVATION", activation as usize));
            self.dispatch("activate", &constants, &[(4, &y.buffer)]);
        }
    }

    /// A kernel of fold.wgsl that reads x and writes y.
    fn step(&mut self, entry: &str, window: usize, x: &Map, y: &Map) {
        let sizes = self.sizes(x, y, Window { kernel: window, ..Window::ONE });
        self.dispatch(entry, &sizes, &[(1, &x.buffer), (4, &y.buffer)]);
    }

    /// The override constants of fold.wgsl.
    fn sizes(&self, x: &Map, y: &Map, window: Window) -> Vec<(&'static str, usize)> {
        let total = BATCH * y.channels * y.size[0] * y.size[1];
        vec![
            ("OUTPUTS", y.channels),
            ("OUT_HEIGHT", y.size[0]),
            ("OUT_WIDTH", y.size[1]),
            ("INPUTS", x.channels),
            ("IN_HEIGHT", x.size[0]),
            ("IN_WIDTH", x.size[1]),
            ("GROUP_INPUTS", window.inputs),
            ("KERNEL", window.kernel),
            ("DOWN", window.stride[0]),
            ("RIGHT", window.stride[1]),
            ("TOTAL", total),
            ("WIDE", workgroups(total)[0] as usize),
        ]
    }

    fn dispatch(&mut self, entry: &str, sizes: &[(&'static str, usize)], buffers: &[(u32, &wgpu::Buffer)]) {
        let constants: Vec<(&str, f64)> = sizes.iter().map(|(name, size)| (*name, *size as f64)).collect();
        let pipeline = kernel::pipeline(&self.gpu.device, &self.module, entry, &constants);
        let bound = buffers.iter().map(|(binding, buffer)| (*binding, whole(buffer)));
        let written = buffers.last().expect("y is the last").1;
        let workgroups = workgroups((written.size() / 4) as usize);
        let dispatch = kernel::Dispatch::new(&self.gpu.device, &pipeline, bound, workgroups);
        self.records.push(Box::new(move |pass| dispatch.record(pass)));
    }

    fn run(&self, gpu: &Gpu) -> Result<Vec<f32>> {
        gpu.run(|pass| self.records.iter().for_each(|record| record(pass)))?;
        Ok(gpu.download(&self.logits)?)
    }
}

/// The median time of each, measured in turns.
fn median_times(gpu: &Gpu, networks: &[Network<'_>; 2]) -> Result<[Duration; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..9 {
        for (network, times) in networks.iter().zip(&mut times) {
            let start = Instant::now();
            gpu.run(|pass| network.records.iter().for_each(|record| record(pass)))?;
            times.push(start.elapsed());
        }
    }
    Ok(times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    }))
}

/// Workgroups of 64 for so many values.
fn workgroups(total: usize) -> [u32; 2] {
    let groups = total.div_ceil(64) as u32;
    let width = groups.min(32768);
    [width, groups.div_ceil(width)]
}
