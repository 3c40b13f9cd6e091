//! The layer on real data: 1797 handwritten digits of 8 × 8 pixels, each pixel a feature.
//!
//! For several batch sizes, an epoch of training steps over the 1437 training images and an evaluation of all 1797, on
//! the GPU and by the reference on the CPU; then what the layer learned of the data.
//!
//!     cargo run --release --example digits

mod population;
mod tables;
mod timing;

use std::error::Error;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, Context, Evaluation, ForwardStep, Shape, State, Training, cpu, wgpu,
};

use population::Population;
use tables::{print_differences, print_learned, print_times};
use timing::{Timing, median, time, time_on_gpu};

const IMAGES: usize = 1797;
const PIXELS: usize = 64;
const BATCHES: [usize; 5] = [8, 32, 60, 256, 1437];
const MOMENTUM: f32 = 0.1;
/// Times are medians of so many measurements, those of the GPU of at least so many steps each.
const ROUNDS: usize = 15;
const STEPS: usize = 200;

/// Runs batch normalization over handwritten digits.
#[derive(Parser)]
struct Arguments {
    /// Folder with digits_images.u8.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data"))]
    data: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let digits = Digits::read(&arguments.data.join("digits_images.u8"))?;
    let gpu = Gpu::new()?;
    println!("{IMAGES} handwritten digits, 8 × 8 pixels = {PIXELS} features");
    println!("Adapter: {}", gpu.describe());

    let context = Context::new(&gpu.device);
    let style = ProgressStyle::with_template("{msg:16} {bar:50} {pos:>3} of {len} measurements")?;
    let progress = ProgressBar::new(((BATCHES.len() + 1) * 2 * ROUNDS) as u64).with_style(style);
    let mut runs = Vec::new();
    for batch in BATCHES {
        progress.set_message(format!("batches of {batch}"));
        let norm = BatchNorm::new(&context, &layer())?;
        runs.push(Run::new(&gpu, &norm, &digits, batch, &progress)?);
    }
    progress.set_message("evaluation");
    let evaluation = time_evaluation(&gpu, &BatchNorm::new(&context, &layer())?, &digits, &progress)?;
    progress.finish_and_clear();

    print_times(&runs, &evaluation);
    print_differences(&runs);
    print_learned(&runs, &Population::of(&digits.training));
    Ok(())
}

fn layer() -> BatchNormDescriptor<'static> {
    BatchNormDescriptor { features: PIXELS as u32, momentum: Some(MOMENTUM), ..Default::default() }
}

/// The images, row after row of pixels from 0 to 1.
struct Digits {
    all: Vec<f32>,
    /// All but every fifth image, shuffled.
    training: Vec<f32>,
}

impl Digits {
    fn read(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let bytes = std::fs::read(file).map_err(|error| format!("cannot read {name}: {error}"))?;
        let (given, required) = (bytes.len(), IMAGES * PIXELS);
        if given != required {
            return Err(format!("{name} must have {required} bytes ({IMAGES} × {PIXELS}), it has {given}"));
        }
        if let Some(i) = bytes.iter().position(|&value| value > 16) {
            return Err(format!("{name}: pixels must be in 0..=16, byte {i} is {}", bytes[i]));
        }
        let all: Vec<f32> = bytes.iter().map(|&value| f32::from(value) / 16.0).collect();
        let mut training: Vec<&[f32]> =
            all.chunks(PIXELS).enumerate().filter(|(i, _)| i % 5 != 0).map(|(_, image)| image).collect();
        training.shuffle(&mut StdRng::seed_from_u64(0));
        let training = training.concat();
        Ok(Self { all, training })
    }
}

/// One batch size: an epoch of training and an evaluation, by both.
struct Run {
    /// Images of each step: the last ones are fewer where the batch does not divide the epoch.
    batches: Vec<usize>,
    training: Timing,
    state: State,
    /// Worst relative difference of y, running_mean, running_var and y of the evaluation.
    differences: [f64; 4],
}

impl Run {
    fn name(&self) -> String {
        format!("batches of {}", self.batches[0])
    }

    fn new(
        gpu: &Gpu,
        norm: &BatchNorm,
        digits: &Digits,
        batch: usize,
        progress: &ProgressBar,
    ) -> Result<Self, Box<dyn Error>> {
        // The whole epoch is on the device; a batch is a range of it.
        let (x, y) = (gpu.upload(&digits.training), gpu.empty(digits.training.len()));
        let steps = prepare_epoch(norm, &x, &y, batch)?;
        let (all, y_all) = (gpu.upload(&digits.all), gpu.empty(digits.all.len()));
        let evaluation = Evaluation::new(all.as_entire_buffer_binding(), y_all.as_entire_buffer_binding());
        let evaluation = norm.prepare_evaluation(rows(&digits.all), evaluation)?;
        gpu.run(|pass| {
            steps.iter().for_each(|step| step.record(pass));
            evaluation.record(pass);
        })?;
        let state = pollster::block_on(norm.read_state(&gpu.queue))?;
        let (y, y_all) = (gpu.download(&y)?, gpu.download(&y_all)?);

        let batches = || digits.training.chunks(batch * PIXELS);
        let epoch = || {
            let mut layer = cpu::Layer::new(&layer());
            let train = |x: &[f32]| cpu::train(x, rows(x), &mut layer, &cpu::Options::default()).y;
            let y: Vec<Vec<f64>> = batches().map(train).collect();
            (y, layer)
        };
        let (y_cpu, layer) = epoch();
        let y_all_cpu = cpu::evaluate(&digits.all, rows(&digits.all), &layer, &cpu::Options::default()).y;
        let of_steps = y.chunks(batch * PIXELS).zip(&y_cpu).map(|(y, y_cpu)| of_tensor(y, y_cpu));
        let spread = layer.running_mean.iter().zip(&layer.running_var);
        let spread: Vec<f64> = spread.map(|(mean, var)| mean.abs().max(var.sqrt())).collect();
        let differences = [
            of_steps.fold(0.0, f64::max),
            worst(&state.running_mean, &layer.running_mean, &spread),
            worst(&state.running_var, &layer.running_var, &layer.running_var),
            of_tensor(&y_all, &y_all_cpu),
        ];

        let (in_epoch, epochs) = (steps.len() as f64, STEPS.div_ceil(steps.len()));
        let record = |pass: &mut wgpu::ComputePass<'_>| {
            (0..epochs).for_each(|_| steps.iter().for_each(|step| step.record(pass)));
        };
        let bytes: u64 = steps.iter().map(|step| step.plan().bytes_moved()).sum();
        let training = Timing {
            path: steps[0].plan().path().to_string(),
            bytes: bytes as f64 / in_epoch,
            gpu_seconds: median(progress, || time_on_gpu(gpu, record))? / (epochs as f64 * in_epoch),
            cpu_seconds: median(progress, || Ok(time(epoch)))? / in_epoch,
        };
        Ok(Self { batches: batches().map(|x| x.len() / PIXELS).collect(), training, state, differences })
    }
}

/// The time of an evaluation of all images.
fn time_evaluation(
    gpu: &Gpu,
    norm: &BatchNorm,
    digits: &Digits,
    progress: &ProgressBar,
) -> Result<Timing, Box<dyn Error>> {
    let (x, y) = (gpu.upload(&digits.all), gpu.empty(digits.all.len()));
    let tensors = Evaluation::new(x.as_entire_buffer_binding(), y.as_entire_buffer_binding());
    let step = norm.prepare_evaluation(rows(&digits.all), tensors)?;
    let record = |pass: &mut wgpu::ComputePass<'_>| (0..STEPS).for_each(|_| step.record(pass));
    let layer = cpu::Layer::new(&layer());
    Ok(Timing {
        path: step.plan().path().to_string(),
        bytes: step.plan().bytes_moved() as f64,
        gpu_seconds: median(progress, || time_on_gpu(gpu, record))? / STEPS as f64,
        cpu_seconds: median(progress, || {
            Ok(time(|| cpu::evaluate(&digits.all, rows(&digits.all), &layer, &cpu::Options::default())))
        })?,
    })
}

fn rows(images: &[f32]) -> Shape {
    Shape::rows((images.len() / PIXELS) as u32, PIXELS as u32)
}

/// A step for each batch of x. An image takes 256 bytes, so batches begin where a binding may.
fn prepare_epoch(
    norm: &BatchNorm,
    x: &wgpu::Buffer,
    y: &wgpu::Buffer,
    batch: usize,
) -> Result<Vec<ForwardStep>, Box<dyn Error>> {
    let bytes = (batch * PIXELS * 4) as u64;
    let step = |offset: u64| {
        let size = bytes.min(x.size() - offset);
        let shape = Shape::rows((size / (PIXELS as u64 * 4)) as u32, PIXELS as u32);
        let range = |buffer| wgpu::BufferBinding { buffer, offset, size: NonZeroU64::new(size) };
        Ok(norm.prepare_training(shape, Training::new(range(x), range(y)))?)
    };
    (0..x.size()).step_by(bytes as usize).map(step).collect()
}

/// The largest difference, each relative to the size of what differs.
fn worst(gpu: &[f32], cpu: &[f64], sizes: &[f64]) -> f64 {
    let differences = gpu.iter().zip(cpu).map(|(&gpu, cpu)| (f64::from(gpu) - cpu).abs());
    differences.zip(sizes).map(|(difference, size)| difference / size).fold(0.0, f64::max)
}

/// The same, where all are relative to the tensor's largest value.
fn of_tensor(gpu: &[f32], cpu: &[f64]) -> f64 {
    let largest = cpu.iter().fold(0.0, |largest, value| value.abs().max(largest));
    worst(gpu, cpu, &vec![largest; cpu.len()])
}
