//! The 53 batch normalizations of a ResNet-50, trained for as long as is wanted:
//!
//!     make soak ARGS="--seconds 3600"
//!
//! Every step must leave the bits of the first one. Memory must stay flat, and a step must not become slower: both are
//! compared between the first and the last tenth of the time. Each round prepares all steps anew, and takes the time of the
//! CPU reference beside them: what else the machine does slows both alike.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::{Table, presets};
use cpu_time::ProcessTime;
use indicatif::{ProgressBar, ProgressStyle};
use memory_stats::memory_stats;
use testkit::bench::{median, resnet};
use testkit::random::tensor;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{self, BufferBinding, BufferSize};
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Context, ForwardStep, Shape, Training, cpu,
};

/// Examples of a batch.
const BATCH: u32 = 2;
/// Planes are so many times narrower than a ResNet's, so that a step takes milliseconds on a software adapter.
const NARROWER: u32 = 8;
/// Steps between two preparations of all layers.
const STEPS: u32 = 100;
/// Trainings of all layers by the CPU reference in a round.
const REFERENCES: u32 = 10;
/// How much more memory or time the last tenth may take than the first one.
const MEMORY: f64 = 1.02;
const TIME: f64 = 1.10;

/// Trains the batch normalizations of a ResNet-50 for long, and watches bits, memory and time.
#[derive(Parser)]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(Duration::from_secs(arguments.seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(time: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::new()?;
    println!("{}", gpu.describe());
    let context = Context::new(&gpu.device);
    let network = Network::new(&gpu, &context)?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} s, {msg}")?;
    let bar = ProgressBar::new(time.as_secs()).with_style(style);
    let start = Instant::now();
    let (mut rounds, mut first) = (Vec::new(), None);
    while rounds.len() < 10 || start.elapsed() < time {
        let (round, results) = network.round(&gpu)?;
        let first = first.get_or_insert_with(|| results.clone());
        if let Some(at) = (0..results.len()).find(|&i| results[i] != first[i]) {
            return Err(format!("value {at} is another one in round {}", rounds.len()).into());
        }
        bar.set_position(start.elapsed().as_secs());
        bar.set_message(format!("{} steps, {} MiB", STEPS as usize * (rounds.len() + 1), round.bytes >> 20));
        rounds.push(round);
    }
    bar.finish_and_clear();
    network.check_states(&gpu, STEPS as u64 * rounds.len() as u64)?;
    judge(&rounds, start.elapsed())
}

/// Prints the first tenth beside the last one. The first round compiles, and is in neither.
fn judge(rounds: &[Round], time: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let tenth = rounds.len() / 10;
    let parts = [&rounds[1..=tenth], &rounds[rounds.len() - tenth..]];
    let medians = |of: &dyn Fn(&Round) -> f64| parts.map(|rounds| median(rounds.iter().map(of).collect()));
    let [first, last] = medians(&|round| round.milliseconds);
    let relative = medians(&|round| round.milliseconds / round.reference);
    let memory = medians(&|round| (round.bytes >> 10) as f64 / 1024.0);
    println!(
        "{} steps in {:.0} s, all with the same bits",
        rounds.len() * STEPS as usize,
        time.as_secs_f64()
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "median of",
        "the first tenth",
        "the last tenth",
        "at most",
    ]);
    let row = |what: &str, [first, last]: [f64; 2], most: Option<f64>| {
        let most = most.map_or_else(String::new, |most| format!("{:.2}", first * most));
        [what.to_owned(), format!("{first:.2}"), format!("{last:.2}"), most]
    };
    table.add_row(row("processor time of a step, ms", [first, last], None));
    table.add_row(row("the same, in times of the CPU reference's", relative, Some(TIME)));
    table.add_row(row("memory, MiB", memory, Some(MEMORY)));
    println!("{table}");
    match (relative[1] <= relative[0] * TIME, memory[1] <= memory[0] * MEMORY) {
        (true, true) => Ok(()),
        (false, _) => Err("steps have become slower".into()),
        (_, false) => Err("memory has grown".into()),
    }
}

/// What a round of steps took.
struct Round {
    /// Of this process, a software adapter's included, for each step.
    milliseconds: f64,
    /// Of the CPU reference, for each training of all layers.
    reference: f64,
    /// Physical memory of the process.
    bytes: usize,
}

struct Layer {
    norm: BatchNorm,
    shape: Shape,
    /// Where its tensors begin in their buffers, in bytes.
    offset: u64,
}

/// Layers of which each has tensors of its own, in two buffers for all.
struct Network {
    layers: Vec<Layer>,
    /// x, then dy.
    given: [wgpu::Buffer; 2],
    /// y, then dx.
    results: [wgpu::Buffer; 2],
    /// The values of x, for the CPU reference.
    x: Vec<f32>,
}

impl Network {
    fn new(gpu: &Gpu, context: &Context) -> Result<Self, Box<dyn std::error::Error>> {
        let (mut layers, mut offset) = (Vec::new(), 0u64);
        let alignment = u64::from(gpu.device.limits().min_storage_buffer_offset_alignment);
        let (mut x, mut dy) = (Vec::new(), Vec::new());
        for (k, (features, side)) in resnet::layers().enumerate() {
            let side = side.div_ceil(NARROWER);
            let shape = Shape::channels_first(BATCH, features, &[side, side]);
            let descriptor = BatchNormDescriptor { features, ..Default::default() };
            layers.push(Layer { norm: BatchNorm::new(context, &descriptor)?, shape, offset });
            offset = (offset + shape.bytes()).next_multiple_of(alignment);
            for (values, seed) in [(&mut x, 2 * k), (&mut dy, 2 * k + 1)] {
                values.extend(tensor(shape, seed as u64));
                values.resize(offset as usize / 4, 0.0);
            }
        }
        let results = [gpu.empty(x.len()), gpu.empty(x.len())];
        Ok(Self { layers, given: [gpu.upload(&x), gpu.upload(&dy)], results, x })
    }

    /// Milliseconds of this process in which the CPU reference trains all layers once.
    fn reference(&self) -> f64 {
        let start = ProcessTime::now();
        for _ in 0..REFERENCES {
            for Layer { shape, offset, .. } in &self.layers {
                let x = &self.x[*offset as usize / 4..][..shape.elements() as usize];
                let descriptor = BatchNormDescriptor { features: shape.features(), ..Default::default() };
                let mut layer = cpu::Layer::new(&descriptor);
                black_box(cpu::train(x, *shape, &mut layer, &cpu::Options::default()));
            }
        }
        start.elapsed().as_secs_f64() * 1e3 / f64::from(REFERENCES)
    }

    /// Prepares all layers, runs their steps, and reads the last one's y and dx, as bits.
    fn round(&self, gpu: &Gpu) -> Result<(Round, Vec<u32>), Box<dyn std::error::Error>> {
        let start = ProcessTime::now();
        let steps = self.layers.iter().map(|layer| self.prepare(layer)).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..STEPS {
            gpu.run(|pass| {
                for (forward, backward) in &steps {
                    forward.record(pass);
                    backward.record(pass);
                }
            })?;
        }
        let milliseconds = start.elapsed().as_secs_f64() * 1e3 / f64::from(STEPS);
        let bytes = memory_stats().ok_or("this system does not tell a process's memory")?.physical_mem;
        let mut bits = Vec::new();
        for results in &self.results {
            bits.extend(gpu.download(results)?.into_iter().map(f32::to_bits));
        }
        Ok((Round { milliseconds, reference: self.reference(), bytes }, bits))
    }

    fn prepare(&self, layer: &Layer) -> Result<(ForwardStep, BackwardStep), Box<dyn std::error::Error>> {
        let part = |buffer| BufferBinding {
            buffer,
            offset: layer.offset,
            size: BufferSize::new(layer.shape.bytes()),
        };
        let ([x, dy], [y, dx]) = (self.given.each_ref().map(part), self.results.each_ref().map(part));
        let forward = layer.norm.prepare_training(layer.shape, Training::new(x, y))?;
        let backward = layer.norm.prepare_backward(&forward, Backward::of(dy).input_gradient(dx))?;
        Ok((forward, backward))
    }

    /// Running statistics have reached those of the batch, and count it.
    fn check_states(&self, gpu: &Gpu, steps: u64) -> Result<(), Box<dyn std::error::Error>> {
        for (k, Layer { norm, .. }) in self.layers.iter().enumerate() {
            let state = pollster::block_on(norm.read_state(&gpu.queue))?;
            let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
            if state.num_batches_tracked != steps
                || !finite(&state.running_mean)
                || !finite(&state.running_var)
            {
                return Err(format!("layer {k} is in a wrong state after {steps} steps: {state:?}").into());
            }
        }
        Ok(())
    }
}
