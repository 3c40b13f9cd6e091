//! A deep network that stalls without batch normalization, beside PyTorch's recorded run of it.

use anyhow::Result;
use comfy_table::Table;
use plotters::prelude::SeriesLabelPosition;
use serde::Serialize;

use super::findings::{Check, Findings, Pair, end, table};
use super::{Lab, Scope};
use crate::data::{self, Recorded};
use crate::plots::{Panel, Picture, Scale, WITH, WITHOUT, decades, line, points};
use crate::regression::{self, Curve, RATE, STEPS};

#[derive(Debug, Serialize)]
struct Report {
    /// From the recorded data and weights.
    #[serde(flatten)]
    recorded: Pair<Curve>,
    /// Largest distance from the recorded float64 curve: of the first 8 losses with, of all without.
    distance_from_recorded: Pair<f64>,
    /// From data and weights of our own, one per seed.
    own: Vec<Own>,
}

#[derive(Debug, Serialize)]
struct Own {
    seed: u64,
    #[serde(flatten)]
    curves: Pair<Curve>,
}

/// Losses compared with the recorded curve: beyond, rounding decides (the run with batch normalization is chaotic).
const COMPARABLE: usize = 8;

pub fn run(lab: &Lab) -> Result<Findings> {
    let steps = lab.scope.pick(30, STEPS, STEPS);
    let train = |name: &str, task: &data::Regression| {
        Pair::of(|kind, normalization| {
            let name = format!("regression, {name}, {kind}");
            regression::train(&lab.gpu, &name, task, normalization, steps, RATE)
        })
    };
    let recorded = train("recorded", &lab.recorded.task)?;
    let seeds = lab.scope.pick(0, 0, 5);
    let own = (0..seeds)
        .map(|seed| Ok(Own { seed, curves: train(&format!("seed {seed}"), &regression::own_task(seed))? }))
        .collect::<Result<_>>()?;
    let distance_from_recorded = distances(&lab.recorded, &recorded);
    let report = Report { recorded, distance_from_recorded, own };
    Ok(Findings::new(&report)?
        .tables([report.table()])
        .pictures([("regression", report.picture())])
        .checks(report.checks(lab.scope != Scope::Short)))
}

fn distances(recorded: &Recorded, curves: &Pair<Curve>) -> Pair<f64> {
    let distance = |got: &[f32], want: &[f64]| {
        got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs()).fold(0.0, f64::max)
    };
    Pair {
        with: distance(&curves.with.train_loss, &recorded.with.train_loss[..COMPARABLE]),
        without: distance(&curves.without.train_loss, &recorded.without.train_loss),
    }
}

impl Report {
    /// The recorded task and those of the seeds.
    fn tasks(&self) -> impl Iterator<Item = (String, &Pair<Curve>)> {
        let own = self.own.iter().map(|own| (format!("own seed {}", own.seed), &own.curves));
        std::iter::once(("recorded".to_owned(), &self.recorded)).chain(own)
    }

    fn table(&self) -> Table {
        let mut table = table(["deep regression", "train loss", "evaluation loss", "steps/s"]);
        for (name, pair) in self.tasks() {
            for (kind, curve) in pair.named() {
                table.add_row([
                    format!("{name}, {kind}"),
                    format!("{:.2e}", end(&curve.train_loss)),
                    format!("{:.2e}", curve.eval_loss),
                    format!("{:.0}", curve.steps_per_second),
                ]);
            }
        }
        table
    }

    fn picture(&self) -> Picture {
        let curve = |label: &str, color, curve: &Curve| {
            let steps: Vec<u32> = (0..curve.train_loss.len() as u32).collect();
            let label = format!("{label} (evaluation loss at the end {:.2e})", curve.eval_loss);
            line(&label, color, points(&steps, &curve.train_loss).collect())
        };
        let Pair { with, without } = &self.recorded;
        let range = decades(with.train_loss.iter().chain(&without.train_loss).copied());
        let panel = Panel {
            y_scale: Scale::Decades,
            legend: SeriesLabelPosition::LowerLeft,
            lines: vec![curve("with batch norm", WITH, with), curve("without", WITHOUT, without)],
            ..Panel::new(
                "512 examples, full batch, SGD with learning rate 0.05",
                ["training step", "training loss (mean squared error)"],
                range,
            )
        };
        Picture { title: "Deep regression: six hidden layers of 128 rectifiers".into(), panels: vec![panel] }
    }

    /// The short run stops before batch normalization has converged.
    fn checks(&self, complete: bool) -> Vec<Check> {
        let Pair { with: start, without: whole } = self.distance_from_recorded;
        let mut checks = vec![
            Check::new(
                format!("regression with: first {COMPARABLE} losses within 1e-4 of the record ({start:.1e})"),
                start <= 1e-4,
            ),
            Check::new(
                format!("regression without: every loss within 1e-5 of the record ({whole:.1e})"),
                whole <= 1e-5,
            ),
        ];
        for (name, Pair { with, without }) in self.tasks().filter(|_| complete) {
            let (with, without) = (with.eval_loss, without.eval_loss);
            checks.push(Check::new(
                format!("regression, {name}, with: evaluation loss between 5e-6 and 1e-4 ({with:.2e})"),
                (5e-6..=1e-4).contains(&with),
            ));
            checks.push(Check::new(
                format!("regression, {name}, without: evaluation loss between 0.4 and 0.6 ({without:.3})"),
                (0.4..=0.6).contains(&without),
            ));
        }
        let (last, plain) = (end(&self.recorded.with.train_loss), end(&self.recorded.without.train_loss));
        checks.push(Check::new(
            format!("regression: training loss with below a fifth of that without ({last:.2e}, {plain:.2e})"),
            last < 0.2 * plain,
        ));
        checks
    }
}
