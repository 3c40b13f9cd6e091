//! Checks the layer on this machine's GPU against reference files:
//!
//!     cargo run --release --example conformance -- FILE.safetensors... [--out DIR]
//!
//! A file holds inputs and float64 results of batch normalization, in the format of tests/data/pytorch, of
//! tests/data/extended or of tests/data/onnx (its README tells what that is); any framework can write one. The GPU's results are printed as
//! errors scaled as tests/data/README.md says, and with --out written under the reference's names, for others to compare.
//! Fails where a file cannot be read or run, or an error is beyond its tolerance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use testkit::conformance::case::{Case, Format};
use testkit::conformance::compare::{Outcome, Report, compare};
use testkit::conformance::encode::encode;
use testkit::conformance::gpu::run;
use testkit::conformance::read::read;
use testkit::conformance::tensor::Result;
use wgpu_batchnorm::Context;
use wgpu_batchnorm::headless::Gpu;

/// Checks batch normalization on this machine's GPU against reference files.
#[derive(Parser)]
struct Arguments {
    /// Reference files, of PyTorch cases, extended cases or ONNX tests.
    #[arg(required = true, value_name = "FILE.safetensors")]
    files: Vec<PathBuf>,
    /// Write the GPU's results there, one file for each reference file and of the same name.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let gpu = match prepare(&arguments) {
        Ok(gpu) => gpu,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("adapter: {}\n", gpu.describe());
    let context = Context::new(&gpu.device);
    let mut worst = Worst::default();
    let (mut failed, mut written) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        println!("{}", file.display());
        let report = check(&gpu, &context, file, arguments.out.as_deref(), &mut written);
        match &report {
            Ok(report) => {
                print(report);
                worst.add(file, report);
            }
            Err(error) => println!("  error: {}", printable(error)),
        }
        println!();
        if !report.is_ok_and(|report| report.passed()) {
            failed.push(file);
        }
    }
    worst.print();
    for file in &failed {
        println!("failed: {}", file.display());
    }
    println!("{} passed, {} failed", arguments.files.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prepare(arguments: &Arguments) -> Result<Gpu> {
    if let Some(directory) = &arguments.out {
        let cannot = |error| format!("cannot create {}: {error}", directory.display());
        std::fs::create_dir_all(directory).map_err(cannot)?;
    }
    Gpu::new().map_err(|error| error.to_string())
}

/// Runs one file, writes its results and compares them.
fn check(
    gpu: &Gpu,
    context: &Context,
    file: &Path,
    out: Option<&Path>,
    written: &mut Vec<PathBuf>,
) -> Result<Report> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read the file: {error}"))?;
    let case = read(&bytes)?;
    describe(&case);
    let results = pollster::block_on(run(gpu, context, &case))?;
    if let (Some(directory), Some(name)) = (out, file.file_name()) {
        let path = directory.join(name);
        if written.contains(&path) {
            return Err(format!("{} holds the results of another file of this name", path.display()));
        }
        if path.canonicalize().is_ok_and(|path| file.canonicalize().is_ok_and(|file| path == file)) {
            return Err(format!("{} is the reference itself; give --out another directory", path.display()));
        }
        let mut metadata = case.metadata.clone();
        metadata.insert("made_by".into(), concat!("wgpu-batchnorm ", env!("CARGO_PKG_VERSION")).into());
        metadata.insert("adapter".into(), gpu.describe());
        let bytes = encode(&results.publish(&case), &metadata)?;
        std::fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        written.push(path);
    }
    Ok(compare(&case, &results))
}

fn describe(case: &Case) {
    let text = |key: &str| case.metadata.get(key).map_or("", String::as_str);
    let momentum = case.momentum.map_or("none".into(), |momentum| (momentum as f32).to_string());
    let kind = match case.format {
        Format::PyTorch if case.is_extended() => extended(case),
        Format::PyTorch => format!("PyTorch, {} data, {} storage", text("data"), text("storage")),
        Format::Onnx => format!("ONNX, training_mode {}", text("training_mode")),
    };
    let line = format!(
        "{}: {} {:?}, {} training steps, eps {:e}, momentum {momentum}; {kind}",
        case.name,
        text("layout"),
        case.shape(case.steps.iter().chain(&case.evaluation).next().map_or(0, |input| input.batch)),
        case.steps.len(),
        case.eps as f32
    );
    println!("  {}", printable(&line));
    if !text("note").is_empty() {
        println!("  the file notes: {}", printable(text("note")));
    }
}

/// What a case has beside a layer on whole float32 tensors.
fn extended(case: &Case) -> String {
    let text = |key: &str| case.metadata.get(key).map_or("", String::as_str);
    let mask = if case.steps.iter().any(|step| step.valid.is_some()) { ", masked" } else { "" };
    let parts =
        if text("parts").is_empty() { String::new() } else { format!(", parts of {}", text("parts")) };
    format!("{}, epilogue {}, {} data{mask}{parts}", case.storage, text("epilogue"), text("data"))
}

/// Text from a file, without what a terminal would obey.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn table(header: [&str; 4]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn print(report: &Report) {
    let mut table = table(["tensor", "scaled error", "allowed", ""]);
    for row in &report.rows {
        let (error, allowed, verdict) = match row.outcome {
            Outcome::Compared { error, tolerance } => {
                let verdict = if row.failed() { "FAILED" } else { "ok" };
                (format!("{error:.1e}"), format!("{tolerance:.0e}"), verdict)
            }
            Outcome::Skipped => ("-".into(), "-".into(), "skipped"),
        };
        let note = if row.note.is_empty() { verdict.into() } else { format!("{verdict}: {}", row.note) };
        table.add_row([printable(&row.tensor), error, allowed, note]);
    }
    println!("{}", table.trim_fmt());
    for note in &report.notes {
        println!("  {note}");
    }
    if report.rows.iter().all(|row| row.outcome == Outcome::Skipped) {
        println!("  error: nothing to compare");
    }
}

/// The worst error of each tensor over all files and steps.
#[derive(Default)]
struct Worst(BTreeMap<String, (f64, f64, String)>);

impl Worst {
    fn add(&mut self, file: &Path, report: &Report) {
        for row in &report.rows {
            let Outcome::Compared { error, tolerance } = row.outcome else { continue };
            let tensor = row.tensor.split_once('.').map_or(&*row.tensor, |(tensor, _)| tensor);
            let name = file.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into());
            let worst = self.0.entry(tensor.into()).or_insert((error, tolerance, name.clone()));
            if error > worst.0 {
                *worst = (error, tolerance, name);
            }
        }
    }

    fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        let mut table = table(["worst of all", "scaled error", "allowed", "in"]);
        for (tensor, (error, tolerance, file)) in &self.0 {
            table.add_row([tensor, &format!("{error:.1e}"), &format!("{tolerance:.0e}"), file]);
        }
        println!("{}\n", table.trim_fmt());
    }
}
