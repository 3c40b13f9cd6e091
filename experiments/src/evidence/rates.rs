//! How far the learning rate can be pushed, with batch normalization and without.

use anyhow::Result;
use comfy_table::Table;
use plotters::prelude::SeriesLabelPosition;
use serde::Serialize;

use super::findings::{Check, Findings, Pair, end, table};
use super::{Lab, Scope};
use crate::data::Regression;
use crate::digits::{self, Plan};
use crate::network::Normalization;
use crate::plots::{Line, Panel, Picture, Scale, WITH, WITHOUT, decades, line};
use crate::regression;
use crate::trainer::unless_diverged;

/// Test accuracy on digits from which on a network counts as trained, and training loss of the regression up to which.
const ACCURACY: f32 = 0.9;
const LOSS: f32 = 0.05;
/// One hidden layer, so that there are rates that train without batch normalization too.
const DIGITS_HIDDEN: [u32; 1] = [100];
/// Narrower layers than those of the recorded regression: there are many rates to try.
const REGRESSION_HIDDEN: [u32; 6] = [32; 6];

#[derive(Debug, Serialize)]
struct Report {
    digits: Pair<Vec<Trial>>,
    digits_steps: u32,
    regression: Pair<Vec<Trial>>,
    regression_steps: u32,
}

/// A network that was trained at one rate.
#[derive(Clone, Copy, Debug, Serialize)]
struct Trial {
    rate: f32,
    /// Test accuracy, or training loss; `None` where a loss was not finite.
    result: Option<f32>,
    trained: bool,
}

/// Half decades from 10^`first` to 10^`last`.
fn rates(first: i32, last: i32) -> Vec<f32> {
    (2 * first..=2 * last).map(|half| 10f32.powf(half as f32 / 2.0)).collect()
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let (digits_steps, regression_steps) = lab.scope.pick((20, 20), (200, 200), (300, 300));
    let task = regression::own_task_of(&REGRESSION_HIDDEN, 0);
    let (digit_rates, regression_rates) = lab.scope.pick(
        (rates(0, 1), rates(-2, -1)),
        (rates(-1, 2), rates(-2, 0)),
        (rates(-2, 3), rates(-3, 1)),
    );
    let report = Report {
        digits: Pair::of(|kind, normalization| {
            digit_rates.iter().map(|&rate| on_digits(lab, kind, normalization, rate, digits_steps)).collect()
        })?,
        digits_steps,
        regression: Pair::of(|kind, normalization| {
            let trial = |&rate| on_regression(lab, &task, kind, normalization, rate, regression_steps);
            regression_rates.iter().map(trial).collect()
        })?,
        regression_steps,
    };
    Ok(Findings::new(&report)?
        .tables([report.table()])
        .pictures([("rates", report.picture())])
        .checks(if lab.scope == Scope::Full { report.checks() } else { vec![] }))
}

fn on_digits(lab: &Lab, kind: &str, normalization: Normalization, rate: f32, steps: u32) -> Result<Trial> {
    let name = format!("digits, {kind}, rate {rate:.2e}");
    let plan = Plan { hidden: &DIGITS_HIDDEN, rate, steps, every: steps, ..Plan::new(&name, normalization) };
    let trained = unless_diverged(digits::train(&lab.gpu, &lab.task, &plan))?;
    let result = trained.map(|trained| trained.curve.last());
    Ok(Trial { rate, result, trained: result.is_some_and(|accuracy| accuracy >= ACCURACY) })
}

fn on_regression(
    lab: &Lab,
    task: &Regression,
    kind: &str,
    normalization: Normalization,
    rate: f32,
    steps: u32,
) -> Result<Trial> {
    let name = format!("regression, {kind}, rate {rate:.2e}");
    let curve = regression::train(&lab.gpu, &name, task, normalization, steps, rate);
    let result = unless_diverged(curve)?.map(|curve| end(&curve.train_loss)).filter(|loss| loss.is_finite());
    Ok(Trial { rate, result, trained: result.is_some_and(|loss| loss <= LOSS) })
}

/// The lowest and the highest rate that trains.
fn range(trials: &[Trial]) -> Option<[f32; 2]> {
    let mut trained = trials.iter().filter(|trial| trial.trained).map(|trial| trial.rate);
    let first = trained.next()?;
    Some([first, trained.next_back().unwrap_or(first)])
}

impl Report {
    fn tasks(&self) -> [(&'static str, &Pair<Vec<Trial>>); 2] {
        [("digits", &self.digits), ("regression", &self.regression)]
    }

    fn table(&self) -> Table {
        let mut table = table(["learning rate", "lowest that trains", "highest", "first that diverges"]);
        for (task, pair) in self.tasks() {
            for (kind, trials) in pair.named() {
                let diverged = trials.iter().find(|trial| trial.result.is_none()).map(|trial| trial.rate);
                let rate = |rate: Option<f32>| rate.map_or("none".into(), |rate| format!("{rate:.3}"));
                let range = range(trials);
                let cells = [range.map(|range| range[0]), range.map(|range| range[1]), diverged].map(rate);
                table.add_row(std::iter::once(format!("{task}, {kind}")).chain(cells));
            }
        }
        table
    }

    fn picture(&self) -> Picture {
        let panel =
            |title: &str, y_label, pair: &Pair<Vec<Trial>>, y_range: std::ops::Range<f64>, bad: f64| {
                let kinds = [("with batch norm", WITH, &pair.with), ("without", WITHOUT, &pair.without)];
                let of = |(label, color, trials): (&str, _, &Vec<Trial>)| {
                    let point =
                        |trial: &Trial| Some((trial.rate.into(), f64::from(trial.result?).min(y_range.end)));
                    Line { dots: true, ..line(label, color, trials.iter().filter_map(point).collect()) }
                };
                let crosses = kinds.into_iter().flat_map(|(_, color, trials)| {
                    let diverged = trials.iter().filter(|trial| trial.result.is_none());
                    diverged.map(move |trial| (color, (trial.rate.into(), bad)))
                });
                Panel {
                    x_scale: Scale::Decades,
                    crosses: crosses.collect(),
                    lines: kinds.map(of).into(),
                    ..Panel::new(title, ["learning rate", y_label], y_range.clone())
                }
            };
        let losses = [&self.regression.with, &self.regression.without].into_iter().flatten();
        let lowest = decades(losses.filter_map(|trial| trial.result)).start;
        let accuracies = Panel {
            legend: SeriesLabelPosition::UpperRight,
            ..panel(
                &format!("digits, a layer of 100 sigmoids, after {} steps", self.digits_steps),
                "test accuracy",
                &self.digits,
                0.0..1.05,
                0.02,
            )
        };
        let losses = Panel {
            y_scale: Scale::Decades,
            legend: SeriesLabelPosition::LowerLeft,
            ..panel(
                &format!("regression, 6 × 32 rectifiers, after {} steps (× diverged)", self.regression_steps),
                "training loss",
                &self.regression,
                lowest..10.0,
                6.0,
            )
        };
        Picture { title: "How far the learning rate can be pushed".into(), panels: vec![accuracies, losses] }
    }

    fn checks(&self) -> Vec<Check> {
        let checks = |(task, pair): (&str, &Pair<Vec<Trial>>)| {
            let both = [&pair.with, &pair.without];
            let decades = |range: Option<[f32; 2]>| range.map_or(0.0, |[low, high]| (high / low).log10());
            let [with, without] = both.map(|trials| decades(range(trials)));
            let highest = both.map(|trials| trials.last().is_some_and(|trial| trial.trained));
            [
                Check::new(
                    format!("rates, {task}: a wider range trains with ({with:.1}, {without:.1} decades)"),
                    with > without,
                ),
                Check::new(
                    format!("rates, {task}: the highest trains neither ({}, {})", highest[0], highest[1]),
                    highest == [false; 2],
                ),
            ]
        };
        self.tasks().into_iter().flat_map(checks).collect()
    }
}
