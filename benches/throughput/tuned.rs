//! `cargo bench --bench throughput -- --tuned`: what the plans that are chosen by default cost, beside those that tuning
//! finds. Regret is the time of the default plans over the time of the best that were measured; 1 is perfect.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use testkit::bench::results::load;
use testkit::bench::shapes::{Case, Work, named_or_of};
use testkit::layer::descriptor;
use wgpu_batchnorm::{BatchNorm, Context, Op, Shape, StorageType, Tune, wgpu};

use crate::device::{Device, Record};
use crate::growth::wall;
use crate::layer::Layer;
use crate::table::{geometric_mean, target_directory};
use crate::values;

/// What is written to target/regret.json.
#[derive(Serialize)]
struct Report {
    device: String,
    budget_s: f64,
    by_devices_clock: bool,
    load_before: String,
    load_after: String,
    /// By work, and of all.
    geometric_mean: BTreeMap<String, f64>,
    worst: BTreeMap<String, f64>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    tensor: String,
    work: &'static str,
    default_ns: f64,
    tuned_ns: f64,
    /// Of the default plans.
    regret: f64,
    /// Of the tuned plans.
    regret_of_tuned: f64,
    /// Of each operation, as text.
    default_plans: Vec<String>,
    tuned_plans: Vec<String>,
    /// How many plans were measured.
    measured: usize,
}

/// Prints a table of these tensors; of the everyday and the awkward ones where none is named, and of the large ones on a GPU.
pub fn run(device: &Device, named: &[String], budget: Duration, measuring: bool) {
    let load_before = load();
    let groups: &[&str] =
        if device.software { &["everyday", "awkward"] } else { &["everyday", "awkward", "large"] };
    let mut cases = named_or_of(named, groups);
    // In a test, one is enough.
    if named.is_empty() && !measuring {
        cases.truncate(1);
    }
    let budget = if measuring { budget } else { Duration::from_millis(1) };
    let context = Context::new(&device.gpu.device);
    let rows: Vec<Row> =
        cases.iter().flat_map(|case| rows(device, &context, case, budget, measuring)).collect();
    if !measuring {
        return;
    }
    print(device, &rows);
    let of = |summary: fn(&[f64]) -> f64| {
        let works = Work::ALL.map(Work::name).into_iter().map(Some).chain([None]);
        let summary =
            |work: Option<&str>| Some((work.unwrap_or("all").to_owned(), summary(&regrets(&rows, work)?)));
        works.filter_map(summary).collect()
    };
    let report = Report {
        device: device.gpu.describe(),
        budget_s: budget.as_secs_f64(),
        by_devices_clock: device.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY),
        load_before,
        load_after: load(),
        geometric_mean: of(geometric_mean),
        worst: of(worst),
        rows,
    };
    let path = target_directory().join("regret.json");
    let json = serde_json::to_string_pretty(&report).expect("plain values");
    match std::fs::write(&path, json + "\n") {
        Ok(()) => println!("Written to {}", path.display()),
        Err(error) => eprintln!("{} could not be written: {error}", path.display()),
    }
}

fn rows(device: &Device, context: &Context, case: &Case, budget: Duration, measuring: bool) -> Vec<Row> {
    let (x, dy) = values(case);
    // Before the context knows anything of this shape.
    let default = Layer::new(device, context, case, StorageType::Float32, &x, &dy);
    let norm = BatchNorm::new(context, &descriptor(Shape::from(case).features())).expect("as above");
    let row = |work: Work| {
        eprintln!("tuning {} of {}", work.name(), case.name);
        let training = Op::Training { update_running: true };
        let tune = match work {
            Work::TrainingForward => Tune::new(Shape::from(case), training),
            Work::Evaluation => Tune::new(Shape::from(case), Op::Evaluation),
            Work::Backward => Tune::new(Shape::from(case), Op::Backward { reduce: true, apply: true }),
            Work::TrainingStep => Tune::step(Shape::from(case), training),
        };
        let found =
            device.gpu.tune(&norm, tune.budget(budget)).expect("what is prepared by default can be tuned");
        context.add_wisdom(&found.wisdom());
        let tuned = Layer::new(device, context, case, StorageType::Float32, &x, &dy);
        let [default_plans, tuned_plans] = [&default, &tuned]
            .map(|layer| layer.plans(work).iter().map(|plan| plan.request().to_string()).collect::<Vec<_>>());
        let by_default: Record<'_> = &|pass, i| default.record(work, pass, i);
        let by_wisdom: Record<'_> = &|pass, i| tuned.record(work, pass, i);
        let works = [by_default, by_wisdom];
        let clock = if measuring { device.nanoseconds(works) } else { None };
        let [default_ns, tuned_ns] = clock.unwrap_or_else(|| wall(device, works, measuring));
        let best = default_ns.min(tuned_ns);
        // The same plans take the same time, whatever was measured.
        let regret = |time: f64| if default_plans == tuned_plans { 1.0 } else { time / best };
        Row {
            tensor: case.name.clone(),
            work: work.name(),
            default_ns,
            tuned_ns,
            regret: regret(default_ns),
            regret_of_tuned: regret(tuned_ns),
            default_plans: default_plans.clone(),
            tuned_plans: tuned_plans.clone(),
            measured: found.ranking().len(),
        }
    };
    Work::ALL.into_iter().map(row).collect()
}

/// Those of a work, or of all; `None` where there are none.
fn regrets(rows: &[Row], work: Option<&str>) -> Option<Vec<f64>> {
    let rows = rows.iter().filter(|row| work.is_none_or(|work| row.work == work));
    let regrets: Vec<f64> = rows.map(|row| row.regret).collect();
    Some(regrets).filter(|regrets| !regrets.is_empty())
}

fn worst(regrets: &[f64]) -> f64 {
    regrets.iter().copied().fold(1.0, f64::max)
}

fn print(device: &Device, rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "tensor",
        "work",
        "plans",
        "default, ms",
        "tuned, ms",
        "regret",
        "of tuned",
        "best plan",
    ]);
    for row in rows {
        let best = if row.regret > 1.0 { row.tuned_plans.join(" + ") } else { "default".into() };
        table.add_row([
            row.tensor.clone(),
            row.work.into(),
            row.measured.to_string(),
            format!("{:.3}", row.default_ns * 1e-6),
            format!("{:.3}", row.tuned_ns * 1e-6),
            format!("{:.2}", row.regret),
            format!("{:.2}", row.regret_of_tuned),
            best,
        ]);
    }
    for column in 2..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!(
        "{}\nMedians of 21 turns, by the device's clock where it has one.\n{table}",
        device.gpu.describe()
    );
    for work in Work::ALL.map(Work::name).into_iter().map(Some).chain([None]) {
        if let Some(regrets) = regrets(rows, work) {
            let name = work.unwrap_or("all works");
            println!(
                "regret, {name}: geometric mean {:.3}, worst {:.2}",
                geometric_mean(&regrets),
                worst(&regrets)
            );
        }
    }
}
