//! Trains networks with and without batch normalization, and reports what it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use wgpu_batchnorm::Convention;

use batchnorm_experiments::digits::{self, Plan, Task, Watch};
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::network::Normalization;
use batchnorm_experiments::report::{
    Digits, Footguns, OwnRegression, Pair, Regression, Report, SigmoidInputs, Three, Why,
};
use batchnorm_experiments::{data, footguns, landscape, regression};

/// What batch normalization is for: networks trained with and without it.
///
/// Without flags: the deep regression and the digits, some seeds each (about two minutes on a software adapter).
#[derive(Parser)]
struct Options {
    /// All seeds, and also why it works and what can go wrong.
    #[arg(long)]
    full: bool,
    /// A minimum of steps that still shows the effect.
    #[arg(long, conflicts_with = "full")]
    short: bool,
    /// Folder of the digits and of the recorded regression.
    #[arg(long, default_value = "examples/data")]
    data: PathBuf,
    /// Folder of a data set in MNIST's IDX format (uncompressed), instead of the digits.
    #[arg(long)]
    idx: Option<PathBuf>,
    /// Folder for report.json and the pictures.
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
}

/// How much of it to do.
struct Scope {
    regression_steps: u32,
    regression_seeds: u64,
    digits_steps: u32,
    digits_seeds: u64,
    everything: bool,
}

impl Scope {
    fn new(options: &Options) -> Self {
        if options.short {
            Self {
                regression_steps: 30,
                regression_seeds: 0,
                digits_steps: 150,
                digits_seeds: 1,
                everything: false,
            }
        } else {
            let full = options.full;
            Self {
                regression_steps: regression::STEPS,
                regression_seeds: if full { 5 } else { 0 },
                digits_steps: digits::STEPS,
                digits_seeds: if full { 5 } else { 3 },
                everything: full,
            }
        }
    }
}

const BOTH: [(&str, Normalization); 2] = [("with", Normalization::BATCH), ("without", Normalization::None)];

fn main() -> Result<()> {
    let options = Options::parse();
    let scope = Scope::new(&options);
    let start = Instant::now();
    fs::create_dir_all(&options.out).with_context(|| format!("cannot create {}", options.out.display()))?;
    let recorded = data::recorded_regression(&options.data)?;
    let images = match &options.idx {
        Some(folder) => data::idx(folder)?,
        None => data::digits(&options.data)?,
    };
    let gpu = Gpu::new()?;
    println!("{}", gpu.name);
    let task = Task::new(&gpu, images)?;

    let mut report = Report {
        adapter: gpu.name.clone(),
        regression: Some(deep_regression(&gpu, &recorded, &scope)?),
        digits: Some(paper_figure(&gpu, &task, &scope)?),
        ..Default::default()
    };
    if scope.everything {
        report.why = Some(why(&gpu, &task)?);
        report.footguns = Some(what_goes_wrong(&gpu, &task, &recorded, &report)?);
    }
    report.seconds = start.elapsed().as_secs_f64();
    finish(&report, &options.out)
}

/// Tables, pictures, report and checks.
fn finish(report: &Report, out: &Path) -> Result<()> {
    for table in report.tables() {
        println!("{table}\n");
    }
    report.write(out)?;
    let pictures = report.draw(out)?;
    println!(
        "{:.0} s; report.json and {} (SVG, PNG) are in {}",
        report.seconds,
        pictures.join(", "),
        out.display()
    );
    let checks = report.checks();
    for check in &checks {
        println!("{} {}", if check.holds { "ok  " } else { "FAIL" }, check.what);
    }
    let failed = checks.iter().filter(|check| !check.holds).count();
    ensure!(failed == 0, "{failed} of {} expectations do not hold", checks.len());
    Ok(())
}

/// With and without.
fn pair<T>(mut run: impl FnMut(&str, Normalization) -> Result<T>) -> Result<Pair<T>> {
    let [(with, batch), (without, none)] = BOTH;
    Ok(Pair { with: run(with, batch)?, without: run(without, none)? })
}

fn deep_regression(gpu: &Gpu, recorded: &data::Recorded, scope: &Scope) -> Result<Regression> {
    let train = |name: &str, task: &data::Regression| {
        pair(|kind, normalization| {
            let name = format!("regression, {name}, {kind}");
            regression::train(gpu, &name, task, normalization, scope.regression_steps)
        })
    };
    let curves = train("recorded", &recorded.task)?;
    let own = (0..scope.regression_seeds)
        .map(|seed| {
            let curves = train(&format!("seed {seed}"), &regression::own_task(seed))?;
            Ok(OwnRegression { seed, curves })
        })
        .collect::<Result<_>>()?;
    Ok(Regression::new(recorded, curves, own))
}

fn paper_figure(gpu: &Gpu, task: &Task, scope: &Scope) -> Result<Digits> {
    let seeds: Vec<u64> = (0..scope.digits_seeds).collect();
    let mut curves = Pair { with: vec![], without: vec![] };
    let mut inputs = None;
    for &seed in &seeds {
        let trained = pair(|kind, normalization| {
            let name = format!("{}, seed {seed}, {kind}", task.data.name);
            let watch = if seed == 0 { Watch::Test } else { Watch::Nothing };
            let (steps, batch) = (scope.digits_steps, digits::BATCH);
            digits::train(gpu, task, &Plan { name: &name, normalization, seed, steps, batch, watch })
        })?;
        if let (Some(with), Some(without)) = (&trained.with.watched, &trained.without.watched) {
            inputs = Some(Pair { with: SigmoidInputs::new(with), without: SigmoidInputs::new(without) });
        }
        curves.with.push(trained.with.curve);
        curves.without.push(trained.without.curve);
    }
    let inputs = inputs.context("at least one seed is needed")?;
    Ok(Digits::new(&task.data.name, seeds, curves, inputs))
}

fn why(gpu: &Gpu, task: &Task) -> Result<Why> {
    let steps = digits::STEPS;
    let landscape = pair(|kind, normalization| {
        landscape::measure(gpu, task, &format!("landscape, {kind}"), normalization, 0, steps)
    })?;
    let train = |kind: &str, normalization| {
        let name = format!("drift, {kind}");
        let (batch, watch) = (digits::BATCH, Watch::Batch);
        digits::train(gpu, task, &Plan { name: &name, normalization, seed: 0, steps, batch, watch })
    };
    let with = train("with", Normalization::BATCH)?;
    let noisy = train("noisy", Normalization::Noisy)?;
    let without = train("without", Normalization::None)?;
    let drift =
        |trained: &digits::Trained| trained.watched.as_ref().map_or(f64::NAN, |watched| watched.drift());
    Ok(Why {
        landscape,
        steps: with.curve.steps.clone(),
        drift: Three { with: drift(&with), noisy: drift(&noisy), without: drift(&without) },
        accuracy: Three {
            with: with.curve.accuracy,
            noisy: noisy.curve.accuracy,
            without: without.curve.accuracy,
        },
    })
}

fn what_goes_wrong(gpu: &Gpu, task: &Task, recorded: &data::Recorded, report: &Report) -> Result<Footguns> {
    let (steps, batch_size_steps) = (digits::STEPS, 1000);
    let plan = Plan {
        name: "to be evaluated",
        normalization: Normalization::BATCH,
        seed: 0,
        steps,
        batch: digits::BATCH,
        watch: Watch::Nothing,
    };
    let trained = digits::train(gpu, task, &plan)?;
    let whole = task.data.test.len() as u32;
    let biased = regression::train(
        gpu,
        "regression, biased variance",
        &recorded.task,
        Normalization::Batch(Convention::Burn),
        regression::STEPS,
    )?;
    let unbiased = report.regression.as_ref().map_or(f32::NAN, |done| done.recorded.with.eval_loss);
    Ok(Footguns {
        running_statistics: trained.curve.last(),
        batch_statistics: footguns::evaluate_on_batches(
            gpu,
            task,
            &trained.network,
            &[whole, 60, 32, 8, 4, 2],
        )?,
        batch_sizes: footguns::batch_sizes(gpu, task, &[2, 4, 8, 32, 60], batch_size_steps)?,
        batch_size_steps,
        regression_biased_eval_loss: biased.eval_loss,
        regression_unbiased_eval_loss: unbiased,
    })
}
