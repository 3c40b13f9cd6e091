//! The time of this layer beside that of burn's own, on burn's wgpu backend, as a table of medians.
//!
//! Both take turns. `backward` is of a dy of ones and has the time of making them in it. CPU time is that of all threads:
//! on a software adapter the work itself, which other programs on the machine change less than the time that passes.
//!
//!     make burn-bench ARGS='--rounds 9 32x64'

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::nn;
use burn::tensor::wgpu::wgpu;
use burn::tensor::{Device, Tensor, TensorData};
use burn_batchnorm::{BatchNorm, BatchNormConfig};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use cpu_time::ProcessTime;
use wgpu_batchnorm::{BatchNormDescriptor, Shape, cpu};

/// (N, C) or (N, C, H, W); `last` has C last in memory.
const CASES: [(&str, [usize; 4], bool); 6] = [
    ("32x64x56x56", [32, 64, 56, 56], false),
    ("32x256x14x14", [32, 256, 14, 14], false),
    ("8x32x112x112", [8, 32, 112, 112], false),
    ("8x3x224x224", [8, 3, 224, 224], false),
    ("32x64x56x56_last", [32, 64, 56, 56], true),
    ("4096x256", [4096, 256, 1, 1], false),
];
const WORKS: [&str; 3] = ["training forward", "backward", "evaluation"];

#[derive(Parser)]
struct Arguments {
    /// Measure tensors whose name contains this.
    #[arg(default_value = "")]
    filter: String,
    /// Measurements of each work.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Do everything once.
    #[arg(long)]
    test: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let rounds = if arguments.test { 1 } else { arguments.rounds.max(1) };
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    burn_batchnorm::share(&device, &setup)?;
    let info = setup.adapter.get_info();
    let on = |feature: bool| if feature { "with" } else { "without" };
    let (fusion, autotune) = (on(cfg!(feature = "fusion")), on(cfg!(feature = "autotune")));
    println!("Adapter: {} ({}, {:?})", info.name, info.driver_info, info.backend);
    println!("burn {fusion} fusion, {autotune} autotune; medians of {rounds}");
    // A GPU must not wait for the CPU.
    let steps = if info.device_type == wgpu::DeviceType::Cpu || arguments.test { 1 } else { 32 };

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let header =
        ["tensor", "work", "burn ms", "this layer ms", "ratio", "burn CPU ms", "this layer CPU ms", "ratio"];
    table.set_header(header);
    (2..8).for_each(|i| table.column_mut(i).expect("eight columns").set_cell_alignment(CellAlignment::Right));
    for (name, axes, last) in CASES.into_iter().filter(|case| case.0.contains(&arguments.filter)) {
        let case = Case::new(&device.clone().autodiff(), axes, last, steps);
        let [theirs, ours] = case.errors()?;
        println!("{name}: y is off by {theirs:.0e} (burn) and {ours:.0e} (this layer)");
        ensure!(ours < 1e-5, "this layer computes something else");
        for (work, name_of_work) in WORKS.into_iter().enumerate() {
            let times = case.measure(work, rounds)?;
            let cells = times.into_iter().flat_map(|[theirs, ours]| {
                [format!("{theirs:.2}"), format!("{ours:.2}"), format!("{:.1}", theirs / ours)]
            });
            table.add_row([name.into(), name_of_work.into()].into_iter().chain(cells));
        }
    }
    println!("{table}");
    Ok(())
}

struct Case {
    device: Device,
    last: bool,
    steps: u32,
    x: Tensor<4>,
    ours: [BatchNorm; 2],
    theirs: [nn::BatchNorm; 2],
}

impl Case {
    fn new(device: &Device, [n, c, h, w]: [usize; 4], last: bool, steps: u32) -> Self {
        let values = (0..n * c * h * w).map(|i| ((i * 7919) % 1009) as f32 / 504.0 - 1.0).collect();
        let axes = if last { [n, h, w, c] } else { [n, c, h, w] };
        let x = Tensor::from_data(TensorData::new::<f32, _>(values, axes), device);
        let ours = BatchNormConfig::new(c).init(device);
        let theirs = nn::BatchNormConfig::new(c).init(device);
        let (ours, theirs) = ([ours.valid(), ours], [theirs.valid(), theirs]);
        Self { device: device.clone(), last, steps, x, ours, theirs }
    }

    /// x as the layers see it.
    fn input(&self, trains: bool) -> Tensor<4> {
        // A node of its own for each graph.
        let x = self.x.clone().detach();
        let x = if trains { x.require_grad() } else { x.without_autodiff() };
        if self.last { x.movedim(3, 1) } else { x }
    }

    fn forward(&self, ours: bool, trains: bool, x: Tensor<4>) -> Tensor<4> {
        let layer = usize::from(trains);
        if ours { self.ours[layer].forward(x) } else { self.theirs[layer].forward(x) }
    }

    /// How far y of both layers is from that of the float64 twin, at most: burn's and this layer's.
    fn errors(&self) -> Result<[f32; 2]> {
        let x: Vec<f32> = self.input(false).into_data().try_into_vec()?;
        let [n, c, h, w] = self.input(false).dims().map(|axis| axis as u32);
        let mut twin = cpu::Layer::new(&BatchNormDescriptor { features: c, ..Default::default() });
        let shape = Shape::channels_first(n, c, &[h, w]);
        let exact = cpu::train(&x, shape, &mut twin, &cpu::Options::default()).y;
        let error = |ours| {
            let y: Vec<f32> = self.forward(ours, true, self.input(true)).into_data().try_into_vec()?;
            let errors = y.iter().zip(&exact).map(|(y, exact)| (y - *exact as f32).abs());
            anyhow::Ok(errors.fold(0.0, f32::max))
        };
        Ok([error(false)?, error(true)?])
    }

    /// Medians of milliseconds that pass and of CPU time, each burn's and this layer's.
    fn measure(&self, work: usize, rounds: usize) -> Result<[[f64; 2]; 2]> {
        let mut times = [const { [const { Vec::new() }; 2] }; 2];
        // One more, before all: pipelines are compiled, and burn tunes.
        for round in 0..=rounds {
            for ours in 0..2 {
                let once = self.once(work, ours == 1)?;
                for (times, time) in times.iter_mut().zip(once).filter(|_| round > 0) {
                    times[ours].push(time.as_secs_f64() * 1e3 / f64::from(self.steps));
                }
            }
        }
        Ok(times.map(|both| both.map(median)))
    }

    /// The time that passes, and CPU time, from device idle to device idle.
    fn once(&self, work: usize, ours: bool) -> Result<[Duration; 2]> {
        let trains = work < 2;
        let inputs: Vec<_> = (0..self.steps).map(|_| self.input(trains)).collect();
        let mut results: Vec<_> = match work {
            1 => inputs.into_iter().map(|x| self.forward(ours, trains, x)).collect(),
            _ => inputs,
        };
        self.device.sync()?;
        let (start, cpu) = (Instant::now(), ProcessTime::now());
        let mut gradients = Vec::new();
        for result in &mut results {
            match work {
                1 => gradients.push(result.backward()),
                _ => *result = self.forward(ours, trains, result.clone()),
            }
        }
        self.device.sync()?;
        Ok([start.elapsed(), cpu.elapsed()])
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
