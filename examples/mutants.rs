//! Mutants of the shaders, given to the tests: `make mutants ARGS="--seed 1 --count 150"`.
//!
//! Each is one file of shaders/ with one change, named by file, line and rule. A mutant that no test tells from the shader
//! is listed: either it is no other shader, or a test is missing. Fails where one survives.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use indicatif::{ProgressBar, ProgressStyle};
use testkit::mutants::{self, Mutant, Outcome, Report, Runner, VARIABLE, Verdict};

/// Mutates the shaders and runs the tests of tests/gpu on each mutant.
#[derive(Parser)]
struct Arguments {
    /// What is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many mutants are drawn.
    #[arg(long, default_value_t = 150)]
    count: usize,
    /// Mutants whose name has this in it, instead of a draw.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Names the mutants and runs nothing.
    #[arg(long)]
    list: bool,
    /// The folder of the shaders.
    #[arg(long, default_value = "shaders")]
    shaders: PathBuf,
    /// The program of the tests, built to read mutants.
    #[arg(long, required_unless_present_any = ["list", "check"])]
    tests: Option<PathBuf>,
    /// Of the five stages that tests are run in, only so many: a run with more goes on with what survived.
    #[arg(long, default_value_t = 5)]
    stages: usize,
    /// Tests that are left out.
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Seconds for each of the stages that the tests are run in.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Where the report is kept. What stands in it already is not run again.
    #[arg(long, value_name = "FILE.jsonl", default_value = "target/mutants.jsonl")]
    report: PathBuf,
    /// Exits with 0 where naga accepts the mutant that the environment names.
    #[arg(long, hide = true)]
    check: bool,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.check {
        let path = std::env::var_os(VARIABLE).ok_or("no mutant is named")?;
        return Ok(if mutants::is_valid(path.as_ref()) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut all = mutants::all(&arguments.shaders)?;
    let drawn = match arguments.only.as_slice() {
        [] => mutants::draw(all, arguments.seed, arguments.count),
        names => {
            all.retain(|mutant| names.iter().any(|name| mutant.to_string().contains(name)));
            all
        }
    };
    if arguments.list {
        for mutant in &drawn {
            println!("{mutant}: {} -> {}", mutant.before, mutant.after);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let report = run(&arguments, &drawn)?;
    print_report(&report);
    let survived = report.outcomes.iter().any(Outcome::survived);
    Ok(if survived { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn runner(arguments: &Arguments) -> Runner {
    Runner {
        tests: arguments.tests.clone().expect("clap requires it"),
        skipped: arguments.skip.clone(),
        threads: arguments.threads,
        timeout: Duration::from_secs(arguments.timeout),
        folder: arguments.report.with_extension("folder"),
    }
}

fn run(arguments: &Arguments, drawn: &[Mutant]) -> Result<Report, Box<dyn Error>> {
    let runner = runner(arguments);
    let mut report = Report::open(&arguments.report)?;
    let this = std::env::current_exe()?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}, {msg}")?;
    let bar = ProgressBar::new(drawn.len() as u64).with_style(style);
    for mutant in drawn {
        bar.set_message(mutant.to_string());
        let mut stages = mutants::stages(mutant);
        stages.truncate(arguments.stages);
        let begin = match report.of(mutant) {
            None => Some(0),
            Some(Verdict::Survived(stage)) => Some(*stage).filter(|stage| *stage < stages.len()),
            Some(_) => None,
        };
        if let Some(begin) = begin {
            let start = Instant::now();
            let verdict = runner.run(mutant, &stages, begin, Command::new(&this).arg("--check"))?;
            let outcome = Outcome::new(mutant, verdict, start.elapsed().as_secs_f64());
            bar.suspend(|| println!("{mutant}: {:?}", outcome.verdict));
            report.add(outcome)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(report)
}

fn print_scores<'a>(report: &'a Report, title: &str, of: impl Fn(&'a Outcome) -> String) {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([title, "killed", "of"]);
    for (name, [killed, counted]) in report.scores(of) {
        table.add_row([name, killed.to_string(), counted.to_string()]);
    }
    println!("{table}\n");
}

fn print_report(report: &Report) {
    print_scores(report, "rule", |outcome| outcome.rule.to_string());
    print_scores(report, "folder", |outcome| outcome.folder().to_owned());
    for (_, [killed, counted]) in report.scores(|_| "all".to_owned()) {
        let refused = report.outcomes.len() - counted;
        println!("{killed} of {counted} are killed; naga refuses {refused} more");
    }
    for outcome in report.outcomes.iter().filter(|outcome| outcome.survived()) {
        println!("survived: {}: {} -> {}", outcome.mutant, outcome.before, outcome.after);
    }
}
