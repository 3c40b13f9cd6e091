//! Tunes the plans of a shape on this machine, beside the one that is chosen by default:
//!
//!     make tune ARGS='32x64x56x56 [--work step] [--wisdom FILE]'
//!
//! A shape is N x C x spatial axes; 32x64x56x56_last has C last in memory. docs/tuning.md says what is measured, and what a
//! file of wisdom is.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use testkit::bench::shapes::Case;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Activation, BatchNorm, BatchNormDescriptor, Context, Epilogue, Op, Plan, Progress, Shape, StorageType,
    Timing, Tune, Tuned, Wisdom, Work,
};

/// Tunes the plans of batch normalization for a shape on this machine.
#[derive(Parser)]
struct Arguments {
    /// N x C x spatial axes, such as 32x64x56x56, or 32x64x56x56_last where C is last in memory.
    shape: Case,
    /// What to tune; all of it by default.
    #[arg(long, value_enum)]
    work: Vec<What>,
    /// How tensors are stored.
    #[arg(long, value_enum, default_value = "float32")]
    storage: Storage,
    /// Fuse ReLU after it.
    #[arg(long)]
    relu: bool,
    /// Fuse a residual and ReLU after it.
    #[arg(long)]
    residual: bool,
    /// Seconds for each work.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    budget: f64,
    /// Add what is found to this file, which need not be there yet.
    #[arg(long, value_name = "FILE")]
    wisdom: Option<PathBuf>,
    /// The most plans to print.
    #[arg(long, default_value_t = 12)]
    rows: usize,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err(format!("required seconds, more than 0 and at most a day, given {text:?}")),
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    Training,
    Evaluation,
    Backward,
    /// Training and its backward, together.
    Step,
}

#[derive(Clone, Copy, ValueEnum)]
enum Storage {
    Float32,
    Float16,
    Bfloat16,
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
    let shape = Shape::from(&arguments.shape);
    // Before anything is measured: a file that cannot be read is told at once.
    let mut wisdom = arguments.wisdom.as_deref().map_or(Ok(Wisdom::new()), read)?;
    let gpu = Gpu::new()?;
    let context = Context::new(&gpu.device);
    println!("{}\n{}\n{shape}", gpu.describe(), context.profile());
    let norm =
        BatchNorm::new(&context, &BatchNormDescriptor { features: shape.features(), ..Default::default() })?;
    for what in What::value_variants() {
        if arguments.work.is_empty() || arguments.work.contains(what) {
            let (tune, works) = tune(*what, shape, arguments);
            let bar = bar(arguments.budget);
            let tell = |progress: Progress| tell(&bar, progress);
            let tuned = gpu.tune(&norm, tune.progress(&tell));
            bar.finish_and_clear();
            let tuned = tuned?;
            print(&context, shape, &works, &tuned, arguments.rows);
            wisdom.merge(tuned.wisdom());
        }
    }
    if let Some(path) = &arguments.wisdom {
        std::fs::write(path, wisdom.to_string()).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("\n{} plans in {}", wisdom.len(), path.display());
    }
    Ok(())
}

fn read(path: &Path) -> Result<Wisdom, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Wisdom::new()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// What is tuned, and the works that it is made of.
fn tune(what: What, shape: Shape, arguments: &Arguments) -> (Tune<'static>, Vec<Work>) {
    let activation =
        if arguments.relu || arguments.residual { Activation::Relu } else { Activation::Identity };
    let mut epilogue = Epilogue::default();
    (epilogue.activation, epilogue.residual) = (activation, arguments.residual);
    let storage = match arguments.storage {
        Storage::Float32 => StorageType::Float32,
        Storage::Float16 => StorageType::Float16,
        Storage::Bfloat16 => StorageType::BFloat16,
    };
    let work = |op: Op| Work::from(op).storage(storage).epilogue(epilogue);
    let training = work(Op::Training { update_running: true });
    let backward = work(Op::Backward { reduce: true, apply: true });
    let (tune, works) = match what {
        What::Training => (Tune::new(shape, training), vec![training]),
        What::Evaluation => (Tune::new(shape, work(Op::Evaluation)), vec![work(Op::Evaluation)]),
        What::Backward => (Tune::new(shape, backward), vec![backward]),
        What::Step => (Tune::step(shape, training), vec![training, backward]),
    };
    (tune.budget(Duration::from_secs_f64(arguments.budget)), works)
}

fn bar(budget: f64) -> ProgressBar {
    let bar = ProgressBar::new((budget * 1e3) as u64);
    let style = ProgressStyle::with_template("{bar:30} {elapsed} {msg}").expect("a valid template");
    bar.with_style(style)
}

fn tell(bar: &ProgressBar, progress: Progress) {
    bar.set_position((progress.elapsed.as_millis() as u64).min(progress.budget.as_millis() as u64));
    bar.set_message(format!("{} plans, best {:.4} ms", progress.measured, milliseconds(progress.best)));
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn print(context: &Context, shape: Shape, works: &[Work], tuned: &Tuned, rows: usize) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "ms", "±", "runs", "predicted", "plan"]);
    let best = tuned.best();
    for (i, timing) in tuned.ranking().iter().enumerate() {
        if i >= rows && !timing.default {
            continue;
        }
        let Timing { plans, median, spread, runs, default, .. } = timing;
        let predicted = works.iter().zip(plans).filter_map(|(&work, &plan)| {
            let plan = Plan::new(context.profile(), work, shape, plan).ok()?;
            Some(plan.predicted())
        });
        let mark = [(timing == best, "best"), (*default, "default")];
        let mark: Vec<&str> = mark.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
        table.add_row([
            mark.join(", "),
            format!("{:.4}", milliseconds(*median)),
            format!("{:.4}", milliseconds(*spread)),
            runs.to_string(),
            format!("{:.4}", milliseconds(predicted.sum())),
            plans.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
        ]);
    }
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let names: Vec<String> = works.iter().map(|work| format!("{:?}", work.op)).collect();
    let clock = if tuned.by_devices_clock() { "the device's clock" } else { "the wall clock" };
    println!("\n{}, by {clock}; {} plans measured", names.join(" and "), tuned.ranking().len());
    println!("{table}\nregret of the default: {:.2}", tuned.regret());
}
