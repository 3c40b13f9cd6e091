//! Trains networks with and without batch normalization, and reports what it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use batchnorm_experiments::evidence::report::Report;
use batchnorm_experiments::evidence::{self, Experiment, Lab, Scope};
use clap::Parser;
use clap::builder::PossibleValuesParser;

/// What batch normalization is for: networks trained with and without it.
///
/// Without flags: what takes some three minutes on a software adapter.
#[derive(Parser)]
struct Options {
    /// All experiments with all seeds.
    #[arg(long)]
    full: bool,
    /// All experiments with a minimum of steps, to see that they work.
    #[arg(long, conflicts_with = "full")]
    short: bool,
    /// These experiments only, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(evidence::ALL.map(|e| e.name)))]
    only: Vec<String>,
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

impl Options {
    fn scope(&self) -> Scope {
        match (self.short, self.full) {
            (true, _) => Scope::Short,
            (_, true) => Scope::Full,
            _ => Scope::Demo,
        }
    }

    fn wants(&self, experiment: &Experiment) -> bool {
        if self.only.is_empty() {
            return experiment.demo || self.scope() != Scope::Demo;
        }
        self.only.iter().any(|name| name == experiment.name)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let start = Instant::now();
    fs::create_dir_all(&options.out).with_context(|| format!("cannot create {}", options.out.display()))?;
    let lab = Lab::new(&options.data, options.idx.as_deref(), options.scope())?;
    println!("{}", lab.gpu.name);
    let mut found = vec![];
    for experiment in evidence::ALL.iter().filter(|experiment| options.wants(experiment)) {
        let start = Instant::now();
        let findings = (experiment.run)(&lab).with_context(|| format!("experiment {}", experiment.name))?;
        println!("\n{}, {:.0} s", experiment.name, start.elapsed().as_secs_f64());
        for table in &findings.tables {
            println!("{table}");
        }
        found.push((experiment.name, findings));
    }
    let seconds = start.elapsed().as_secs_f64();
    finish(&Report { adapter: lab.gpu.name.clone(), found, seconds }, &options.out)
}

/// Pictures, report and checks.
fn finish(report: &Report, out: &Path) -> Result<()> {
    let pictures = report.write(out)?;
    println!(
        "\n{:.0} s; report.json and {} (SVG, PNG) are in {}",
        report.seconds,
        pictures.join(", "),
        out.display()
    );
    let checks = || report.found.iter().flat_map(|(_, findings)| &findings.checks);
    for check in checks() {
        println!("{} {}", if check.holds { "ok  " } else { "FAIL" }, check.what);
    }
    let failed = checks().filter(|check| !check.holds).count();
    ensure!(failed == 0, "{failed} of {} expectations do not hold", checks().count());
    Ok(())
}
