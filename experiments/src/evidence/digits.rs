//! The figure of the batch-normalization paper, on digits.

use anyhow::{Context as _, Result};
use comfy_table::Table;
use serde::Serialize;

use super::findings::{Check, Findings, Pair, mean, table};
use super::{Lab, Scope};
use crate::digits::{self, Curve, Plan, STEPS, Watch, Watched};
use crate::plots::{Band, Line, Panel, Picture, WITH, WITHOUT, line, points};

#[derive(Debug, Serialize)]
struct Report {
    data: String,
    seeds: Vec<u64>,
    #[serde(flatten)]
    curves: Pair<Accuracy>,
    /// How many times fewer steps batch normalization needs to the plain net's best, mean over the seeds.
    steps_ratio: Option<f64>,
    /// The same for each seed: plain net's best accuracy, its step, the step at which batch normalization is there.
    to_the_plain_best: Vec<ToBest>,
    /// Inputs of a typical sigmoid of the last hidden layer over the test set (first seed).
    sigmoid_inputs: Pair<SigmoidInputs>,
}

/// Test accuracy while training, of several seeds.
#[derive(Debug, Serialize)]
pub struct Accuracy {
    pub steps: Vec<u32>,
    /// Per seed.
    pub accuracy: Vec<Vec<f32>>,
    pub steps_per_second: f64,
}

#[derive(Debug, Serialize)]
struct ToBest {
    accuracy: f32,
    without: u32,
    with: Option<u32>,
}

#[derive(Debug, Serialize)]
struct SigmoidInputs {
    unit: usize,
    steps: Vec<u32>,
    /// 15th, 50th and 85th.
    percentiles: Vec<[f32; 3]>,
}

impl SigmoidInputs {
    fn new(watched: &Watched) -> Self {
        let unit = watched.typical_feature();
        Self { unit, steps: watched.steps.clone(), percentiles: watched.percentiles(unit) }
    }
}

impl Accuracy {
    pub fn new(curves: &[Curve]) -> Self {
        Self {
            steps: curves[0].steps.clone(),
            accuracy: curves.iter().map(|curve| curve.accuracy.clone()).collect(),
            steps_per_second: mean(curves.iter().map(|curve| curve.steps_per_second)),
        }
    }

    /// Over the seeds, at each measurement.
    pub fn mean(&self) -> Vec<f32> {
        let at = |at: usize| mean(self.accuracy.iter().map(|curve| f64::from(curve[at]))) as f32;
        (0..self.steps.len()).map(at).collect()
    }

    /// Over the seeds, at this step; NaN where nothing was measured.
    pub fn mean_at(&self, step: u32) -> f32 {
        self.steps.iter().position(|&s| s == step).map_or(f32::NAN, |at| self.mean()[at])
    }

    /// The mean, and a thin line for each seed.
    pub fn lines(&self, label: &str, color: plotters::style::RGBColor) -> Vec<Line> {
        let seeds = self.accuracy.len();
        let thin = |curve: &Vec<f32>| {
            let points = points(&self.steps, curve).collect();
            Line { opacity: 0.25, width: 1, ..line("", color, points) }
        };
        let label = match seeds {
            1 => label.to_owned(),
            seeds => format!("{label} (mean of {seeds} seeds)"),
        };
        let mean = line(&label, color, points(&self.steps, &self.mean()).collect());
        self.accuracy.iter().filter(|_| seeds > 1).map(thin).chain([mean]).collect()
    }
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let steps = lab.scope.pick(150, STEPS * 2 / 5, STEPS);
    let seeds: Vec<u64> = (0..lab.scope.pick(1, 1, 5)).collect();
    let mut curves = Pair { with: vec![], without: vec![] };
    let mut inputs = None;
    for &seed in &seeds {
        let trained = Pair::of(|kind, normalization| {
            let name = format!("{}, seed {seed}, {kind}", lab.task.data.name);
            let watch = if seed == 0 { Watch::Test } else { Watch::Nothing };
            let plan = Plan { seed, steps, watch, ..Plan::new(&name, normalization) };
            digits::train(&lab.gpu, &lab.task, &plan)
        })?;
        if let (Some(with), Some(without)) = (&trained.with.watched, &trained.without.watched) {
            inputs = Some(Pair { with: SigmoidInputs::new(with), without: SigmoidInputs::new(without) });
        }
        curves.with.push(trained.with.curve);
        curves.without.push(trained.without.curve);
    }
    let inputs = inputs.context("at least one seed is needed")?;
    let report = Report::new(&lab.task.data.name, seeds, curves, inputs);
    // In a shorter run the plain net has not begun to learn, and its best means nothing.
    let complete = lab.scope != Scope::Short;
    let ratios = complete.then(|| report.ratios());
    let is_digits = report.data == "digits";
    Ok(Findings::new(&report)?
        .tables([report.accuracies()].into_iter().chain(ratios))
        .pictures([
            ("digits_accuracy", report.accuracy_picture()),
            ("digits_inputs", report.inputs_picture()),
        ])
        .checks(if is_digits { report.checks(complete) } else { vec![] }))
}

impl Report {
    fn new(
        data: &str,
        seeds: Vec<u64>,
        curves: Pair<Vec<Curve>>,
        sigmoid_inputs: Pair<SigmoidInputs>,
    ) -> Self {
        let to_the_plain_best: Vec<_> = std::iter::zip(&curves.with, &curves.without)
            .map(|(with, without)| {
                let accuracy = without.best();
                let plain = without.first_step_at(accuracy).unwrap_or_default();
                ToBest { accuracy, without: plain, with: with.first_step_at(accuracy) }
            })
            .collect();
        let ratio = |best: &ToBest| {
            best.with.filter(|&with| with > 0).map(|with| f64::from(best.without) / f64::from(with))
        };
        let ratios: Option<Vec<f64>> = to_the_plain_best.iter().map(ratio).collect();
        Self {
            data: data.into(),
            seeds,
            curves: Pair { with: Accuracy::new(&curves.with), without: Accuracy::new(&curves.without) },
            steps_ratio: ratios.map(mean),
            to_the_plain_best,
            sigmoid_inputs,
        }
    }

    fn accuracies(&self) -> Table {
        let measured = &self.curves.with.steps;
        let marks = [50, 100, 200, 500, 1000, 2000].into_iter().filter(|mark| measured.contains(mark));
        let marks: Vec<u32> = marks.collect();
        let header = marks.iter().map(|mark| format!("step {mark}"));
        let header = [self.data.clone()].into_iter().chain(header).chain(["steps/s".into()]);
        let mut table = table(header);
        for (kind, accuracy) in self.curves.named() {
            let cells = marks.iter().map(|&mark| format!("{:.3}", accuracy.mean_at(mark)));
            let speed = format!("{:.0}", accuracy.steps_per_second);
            table.add_row(std::iter::once(kind.to_owned()).chain(cells).chain([speed]));
        }
        table
    }

    fn ratios(&self) -> Table {
        let mut table = table(["seed", "plain best", "at step", "with: there at", "times fewer"]);
        for (seed, best) in self.seeds.iter().zip(&self.to_the_plain_best) {
            let ratio = best.with.map(|with| format!("{:.0}", f64::from(best.without) / f64::from(with)));
            table.add_row([
                seed.to_string(),
                format!("{:.3}", best.accuracy),
                best.without.to_string(),
                best.with.map_or("never".into(), |step| step.to_string()),
                ratio.unwrap_or("-".into()),
            ]);
        }
        table
    }

    fn accuracy_picture(&self) -> Picture {
        let Pair { with, without } = &self.curves;
        let panel = Panel {
            lines: [with.lines("with batch norm", WITH), without.lines("without", WITHOUT)].concat(),
            ..Panel::new(
                "three hidden layers of 100 sigmoid units, batches of 60, SGD with learning rate 0.5",
                ["training step", "test accuracy"],
                0.0..1.0,
            )
        };
        Picture { title: format!("Test accuracy while training ({})", self.data), panels: vec![panel] }
    }

    fn inputs_picture(&self) -> Picture {
        let Pair { with, without } = &self.sigmoid_inputs;
        let all = [with, without].into_iter().flat_map(|inputs| &inputs.percentiles).flatten();
        let largest = f64::from(all.fold(1.0f32, |largest, value| largest.max(value.abs()))).ceil();
        let panel = |title: &str, color, inputs: &SigmoidInputs| {
            let at = |i: usize| -> Vec<(f64, f64)> {
                let values: Vec<f32> = inputs.percentiles.iter().map(|percentiles| percentiles[i]).collect();
                points(&inputs.steps, &values).collect()
            };
            let band = std::iter::zip(&inputs.steps, &inputs.percentiles)
                .map(|(&step, p)| (step.into(), p[0].into(), p[2].into()))
                .collect();
            let thin = |points| Line { opacity: 0.8, width: 1, ..line("", color, points) };
            let key = Line { opacity: 0.3, width: 10, ..line("15th to 85th percentile", color, vec![]) };
            Panel {
                bands: vec![Band { color, points: band }],
                lines: vec![key, thin(at(0)), thin(at(2)), line("median", color, at(1))],
                ..Panel::new(title, ["training step", "input of the sigmoid"], -largest..largest)
            }
        };
        Picture {
            title: "Inputs of a typical sigmoid of the last hidden layer, over the test set".into(),
            panels: vec![panel("without batch norm", WITHOUT, without), panel("with batch norm", WITH, with)],
        }
    }

    fn checks(&self, complete: bool) -> Vec<Check> {
        let (with, without) = (self.curves.with.mean_at(100), self.curves.without.mean_at(100));
        let early = format!(
            "digits: accuracy after 100 steps above 0.9 with, below 0.5 without ({with:.3}, {without:.3})"
        );
        let ratio = self.steps_ratio.unwrap_or(0.0);
        let ratios = format!("digits: at least 10 times fewer steps to the plain net's best ({ratio:.0})");
        let ratios = complete.then(|| Check::new(ratios, ratio >= 10.0));
        [Check::new(early, with > 0.9 && without < 0.5)].into_iter().chain(ratios).collect()
    }
}
