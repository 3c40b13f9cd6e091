//! `cargo bench --bench prepare`: what preparing and rebinding steps costs, and how many buffers and bind groups the 53
//! batch normalizations of a ResNet-50 take (He et al. 2015) with training, backward, evaluation and a ragged last batch.
//! `cargo bench --bench prepare -- --pipelines [--rounds 3] [REGEX]`: how long the device's compiler takes for each
//! shader, or for those whose names match.

mod pipelines;

use std::hint::black_box;
use std::time::Instant;

use clap::Parser;
use comfy_table::{Table, presets};
use regex::Regex;
use testkit::bench::resnet;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{self, BufferBinding};
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Context, Evaluation, ForwardStep, Shape, Training,
};

/// Examples in a batch, and in the last one of an epoch.
const BATCH: u32 = 8;
const RAGGED: u32 = 3;

/// What preparing costs.
#[derive(Parser)]
struct Arguments {
    /// Measures how long the device's compiler takes for each shader, and nothing else.
    #[arg(long)]
    pipelines: bool,
    /// How often each shader is compiled: the least time counts.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Only shaders whose names match; all of them are thousands.
    #[arg(default_value = "")]
    names: Regex,
    #[arg(long, hide = true)]
    bench: bool,
    /// Everything once.
    #[arg(long, hide = true)]
    test: bool,
}

fn main() {
    // Cargo says --bench where it measures.
    let arguments = Arguments::parse();
    let rounds = if arguments.bench && !arguments.test { 20 } else { 1 };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let limits = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&limits)).expect("a device");
    let gpu = Gpu::from_device(device, queue);
    println!("{}", gpu.describe());
    if arguments.pipelines {
        return pipelines::run(&gpu, &arguments.names, arguments.rounds);
    }

    let tensors = Tensors::new(&gpu);
    let context = Context::new(&gpu.device);
    let before = Counts::of(&instance);
    let mut network: Vec<Layer> = Vec::new();
    for (features, side) in resnet::layers() {
        network.push(Layer::new(&context, &tensors, features, side));
    }
    let after = Counts::of(&instance);
    println!(
        "{} layers, each with training, backward, evaluation and a ragged training and backward: {} buffers, {} bind groups, \
         {} pipelines",
        network.len(),
        after.buffers - before.buffers,
        after.bind_groups - before.bind_groups,
        context.pipelines(),
    );

    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "µs a step, median of the layers", "slowest layer"]);
    for (name, time) in WORKS {
        let mut times: Vec<f64> =
            network.iter_mut().map(|layer| median(rounds, || time(layer, &tensors))).collect();
        times.sort_by(f64::total_cmp);
        let [middle, slowest] = [times.len() / 2, times.len() - 1].map(|i| format!("{:.2}", times[i]));
        table.add_row([name.to_owned(), middle, slowest]);
    }
    println!("{table}");
}

type Work = fn(&mut Layer, &Tensors);

const WORKS: [(&str, Work); 5] = [
    ("prepare training", |layer, tensors| drop(black_box(training(&layer.norm, tensors, layer.shape())))),
    ("prepare evaluation", |layer, tensors| drop(black_box(evaluation(&layer.norm, tensors, layer.shape())))),
    ("prepare backward", |layer, tensors| drop(black_box(backward(&layer.norm, tensors, &layer.forward)))),
    ("rebind training", |layer, tensors| {
        let [x, y, ..] = tensors.of(layer.shape());
        layer.forward.rebind(&layer.norm, Training::new(x, y)).expect("the same tensors");
    }),
    ("rebind backward", |layer, tensors| {
        let backward = tensors.gradients(layer.shape());
        layer.back.rebind(&layer.norm, &layer.forward, backward).expect("the same tensors");
    }),
];

/// Microseconds.
fn median(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

/// Resources that wgpu keeps.
struct Counts {
    buffers: usize,
    bind_groups: usize,
}

impl Counts {
    fn of(instance: &wgpu::Instance) -> Self {
        let report = instance.generate_report().expect("a native backend");
        let hub = report.hub_report();
        Self { buffers: hub.buffers.num_allocated, bind_groups: hub.bind_groups.num_allocated }
    }
}

/// x, y, dy and dx of all layers in turn, and gradients of parameters.
struct Tensors {
    large: [wgpu::Buffer; 4],
    small: [wgpu::Buffer; 2],
}

impl Tensors {
    fn new(gpu: &Gpu) -> Self {
        let elements = resnet::layers().map(|(features, side)| BATCH * features * side * side).max();
        let features = resnet::layers().map(|(features, _)| features).max();
        let [elements, features] = [elements, features].map(|n| n.expect("layers") as usize);
        Self {
            large: std::array::from_fn(|_| gpu.empty(elements)),
            small: std::array::from_fn(|_| gpu.empty(features)),
        }
    }

    fn of(&self, shape: Shape) -> [BufferBinding<'_>; 4] {
        self.large.each_ref().map(|buffer| BufferBinding {
            buffer,
            offset: 0,
            size: wgpu::BufferSize::new(shape.bytes()),
        })
    }

    fn gradients(&self, shape: Shape) -> Backward<'_> {
        let [_, _, dy, dx] = self.of(shape);
        let [dweight, dbias] = self.small.each_ref().map(wgpu::Buffer::as_entire_buffer_binding);
        Backward::of(dy).input_gradient(dx).weight_gradient(dweight).bias_gradient(dbias)
    }
}

/// A layer, and its steps on a batch.
struct Layer {
    norm: BatchNorm,
    side: u32,
    forward: ForwardStep,
    back: BackwardStep,
    /// Kept for what they take.
    _others: (ForwardStep, ForwardStep, BackwardStep),
}

impl Layer {
    fn new(context: &Context, tensors: &Tensors, features: u32, side: u32) -> Self {
        let norm = BatchNorm::new(context, &BatchNormDescriptor { features, ..Default::default() })
            .expect("the layer's state fits any device");
        let [shape, ragged] =
            [BATCH, RAGGED].map(|batch| Shape::channels_first(batch, features, &[side, side]));
        let forward = training(&norm, tensors, shape);
        let back = backward(&norm, tensors, &forward);
        let ragged = training(&norm, tensors, ragged);
        let ragged_back = backward(&norm, tensors, &ragged);
        let _others = (evaluation(&norm, tensors, shape), ragged, ragged_back);
        Self { norm, side, forward, back, _others }
    }

    fn shape(&self) -> Shape {
        Shape::channels_first(BATCH, self.norm.features(), &[self.side, self.side])
    }
}

fn training(norm: &BatchNorm, tensors: &Tensors, shape: Shape) -> ForwardStep {
    let [x, y, ..] = tensors.of(shape);
    norm.prepare_training(shape, Training::new(x, y)).expect("training")
}

fn evaluation(norm: &BatchNorm, tensors: &Tensors, shape: Shape) -> ForwardStep {
    let [x, y, ..] = tensors.of(shape);
    norm.prepare_evaluation(shape, Evaluation::new(x, y)).expect("evaluation")
}

fn backward(norm: &BatchNorm, tensors: &Tensors, forward: &ForwardStep) -> BackwardStep {
    norm.prepare_backward(forward, tensors.gradients(forward.plan().shape())).expect("backward")
}
