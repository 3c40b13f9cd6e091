//! Random cases on this machine's device, and plans for any:
//!
//!     cargo run --example fuzz -- --seed 1 --seconds 60
//!
//! Each case is known by the seed and its number. `--from` resumes a run, `--from N --cases 1` repeats a case. What was
//! found is printed, and written as JSON; fails where anything was.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use testkit::elsewhere::Dawn;
use testkit::fuzz::{Fuzz, Report, Runner, keep_panics};
use testkit::gpu::gpu;

/// Cases after which the report is written.
const WRITTEN: u64 = 256;

/// Plans and runs random cases of batch normalization.
#[derive(Parser)]
struct Arguments {
    /// What cases are made of.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first case.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The most cases.
    #[arg(long, default_value_t = u64::MAX)]
    cases: u64,
    /// Plans alone, which need no device.
    #[arg(long)]
    plans: bool,
    /// Run steps in Dawn, the WebGPU of Chromium: after npm ci --prefix scripts/dawn.
    #[arg(long, conflicts_with = "plans")]
    dawn: bool,
    /// Where the report goes.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Report::new(arguments.seed, arguments.from);
    let runner = match runner(&arguments, &mut report.adapter) {
        Ok(runner) => runner,
        Err(error) => {
            eprintln!("error: cannot start Dawn: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = run(&arguments, runner, &mut report) {
        eprintln!("error: the report cannot be written: {error}");
        return ExitCode::FAILURE;
    }
    print!("{report}");
    if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What runs steps, and what it is.
fn runner(arguments: &Arguments, adapter: &mut String) -> std::io::Result<Runner> {
    if arguments.plans {
        return Ok(Runner::Nothing);
    }
    if !arguments.dawn {
        *adapter = gpu().describe();
        return Ok(Runner::Device);
    }
    let dawn = Dawn::start()?;
    *adapter = dawn.adapter.clone();
    Ok(Runner::Dawn(dawn))
}

/// The report is written now and then, so that a run that is ended can be resumed.
fn run(arguments: &Arguments, runner: Runner, report: &mut Report) -> std::io::Result<()> {
    let write = |report: &Report| match &arguments.report {
        Some(path) => std::fs::write(path, serde_json::to_string_pretty(report)?),
        None => Ok(()),
    };
    let mut fuzz = Fuzz::new(arguments.seed, runner);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} s, {msg}").expect("a valid template");
    let bar = ProgressBar::new(arguments.seconds).with_style(style);
    keep_panics();
    let start = Instant::now();
    let last = arguments.from.saturating_add(arguments.cases);
    for index in arguments.from..last {
        if start.elapsed().as_secs() >= arguments.seconds {
            break;
        }
        fuzz.case(index, report);
        report.seconds = start.elapsed().as_secs_f64();
        if report.next.is_multiple_of(WRITTEN) {
            write(report)?;
        }
        bar.set_position(start.elapsed().as_secs());
        bar.set_message(format!("case {index}, {} findings", report.findings.len()));
    }
    let _ = std::panic::take_hook();
    bar.finish_and_clear();
    write(report)
}
