//! Dropout beside batch normalization: the variance shift (Li et al. 2018), and its cure by order.
//!
//! Dropout in training makes the variance of what comes after it larger than it is in evaluation. A batch normalization
//! that stands behind it learns the larger one as its running variance, and divides by it where it is wrong.

use anyhow::Result;
use comfy_table::Table;
use plotters::prelude::SeriesLabelPosition;
use plotters::style::RGBColor;
use serde::Serialize;
use testkit::buffers::download;
use wgpu_batchnorm::wgpu;

use super::findings::{Check, Findings, mean, table};
use super::{Lab, Scope};
use crate::digits::{self, Plan, accuracy_on_test_set};
use crate::kernels::Step;
use crate::network::{Dropout, DropoutPlace, Mode, Network, Normalization};
use crate::plots::{Line, Panel, Picture, THIRD, WITH, WITHOUT, line};
use crate::tensor::Tensor;

const PLACES: [(&str, RGBColor, DropoutPlace); 3] = [
    ("before each batch norm", WITHOUT, DropoutPlace::BeforeNormalization),
    ("at the end of each layer", THIRD, DropoutPlace::EachLayer),
    ("behind the last batch norm", WITH, DropoutPlace::LastLayer),
];

#[derive(Debug, Serialize)]
struct Report {
    steps: u32,
    seeds: u64,
    places: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    name: &'static str,
    trials: Vec<Trial>,
}

/// Networks with so much dropout, mean over the seeds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Trial {
    share: f32,
    /// Test accuracy with running statistics, and with those of the test set.
    accuracy: f64,
    on_test_statistics: f64,
    /// Variance of what enters the normalizations in evaluation, over the running variance: geometric mean over the
    /// features of all layers, on the training images.
    variance_ratio: f64,
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let steps = lab.scope.pick(20, 300, 300);
    let seeds = lab.scope.pick(1, 1, 2);
    let shares = lab.scope.pick(vec![0.5], vec![0.0, 0.5], vec![0.0, 0.1, 0.3, 0.5, 0.7]);
    let place = |(name, _, place)| {
        let trial = |&share: &f32| trial(lab, Dropout { share, place }, steps, seeds);
        Ok(Place { name, trials: shares.iter().map(trial).collect::<Result<_>>()? })
    };
    let report = Report { steps, seeds, places: PLACES.into_iter().map(place).collect::<Result<_>>()? };
    Ok(Findings::new(&report)?
        .tables([report.table()])
        .pictures([("dropout", report.picture())])
        .checks(if lab.scope == Scope::Full { report.checks() } else { vec![] }))
}

fn trial(lab: &Lab, dropout: Dropout, steps: u32, seeds: u64) -> Result<Trial> {
    let (mut accuracies, mut on_test, mut ratios) = (vec![], vec![], vec![]);
    for seed in 0..seeds {
        let name = format!("dropout of {} {:?}, seed {seed}", dropout.share, dropout.place);
        let dropout = Some(dropout);
        let plan = Plan { seed, steps, every: steps, dropout, ..Plan::new(&name, Normalization::BATCH) };
        let trained = digits::train(&lab.gpu, &lab.task, &plan)?;
        accuracies.push(f64::from(trained.curve.last()));
        on_test.push(f64::from(accuracy_on_test_set(&lab.gpu, &lab.task, &trained.network)?));
        ratios.push(variance_ratio(lab, &trained.network)?);
    }
    Ok(Trial {
        share: dropout.share,
        accuracy: mean(accuracies),
        on_test_statistics: mean(on_test),
        variance_ratio: mean(ratios),
    })
}

fn variance_ratio(lab: &Lab, network: &Network) -> Result<f64> {
    let Lab { gpu, task, .. } = lab;
    let all: Vec<u32> = (0..task.data.train.len() as u32).collect();
    let pass = network.prepare(all.len() as u32, Mode::Evaluate, 1)?;
    pass.evaluate(gpu, &task.gather_train(gpu, &pass, &all), Step::default());
    let read = |binding: wgpu::BufferBinding<'_>| download::<f32>(&gpu.device, &gpu.queue, binding);
    let of_layer = |(norm, input): (&wgpu_batchnorm::BatchNorm, &Tensor)| {
        let values = read(input.binding());
        let running = norm.running_var().map(read).unwrap_or_default();
        let column = |c: usize| values.iter().skip(c).step_by(running.len()).map(|&value| f64::from(value));
        let variance = |c: usize| {
            let center = mean(column(c));
            mean(column(c).map(|value| (value - center).powi(2)))
        };
        let log = |(c, &running): (usize, &f32)| (variance(c) / f64::from(running)).ln();
        mean(running.iter().enumerate().map(log))
    };
    Ok(mean(network.norms().iter().zip(&pass.normalized).map(of_layer)).exp())
}

impl Report {
    fn table(&self) -> Table {
        let mut table = table([
            "dropout",
            "share",
            "test accuracy",
            "with statistics of the test set",
            "variance in evaluation / running variance",
        ]);
        for Place { name, trials } in &self.places {
            for trial in trials {
                table.add_row([
                    (*name).to_owned(),
                    trial.share.to_string(),
                    format!("{:.3}", trial.accuracy),
                    format!("{:.3}", trial.on_test_statistics),
                    format!("{:.2}", trial.variance_ratio),
                ]);
            }
        }
        table
    }

    fn picture(&self) -> Picture {
        let lines = |of: fn(&Trial) -> f64, label: &dyn Fn(&str) -> String| -> Vec<Line> {
            let curve = |(place, (_, color, _)): (&Place, &(&str, RGBColor, DropoutPlace))| {
                let points = place.trials.iter().map(|trial| (trial.share.into(), of(trial)));
                Line { dots: true, ..line(&label(place.name), *color, points.collect()) }
            };
            self.places.iter().zip(&PLACES).map(curve).collect()
        };
        let thin = lines(|trial| trial.on_test_statistics, &|_| String::new());
        let thin = thin.into_iter().map(|line| Line { width: 1, opacity: 0.5, dots: false, ..line });
        let accuracies = Panel {
            legend: SeriesLabelPosition::LowerLeft,
            lines: thin.chain(lines(|trial| trial.accuracy, &str::to_owned)).collect(),
            ..Panel::new(
                "thin: evaluated with statistics of the test set",
                ["share dropped in training", "test accuracy"],
                0.0..1.0,
            )
        };
        let ratios = Panel {
            legend: SeriesLabelPosition::LowerLeft,
            lines: lines(|trial| trial.variance_ratio, &str::to_owned),
            ..Panel::new(
                "variance that enters batch norm",
                ["share dropped in training", "in evaluation / running variance"],
                0.0..1.2,
            )
        };
        Picture {
            title: "Dropout beside batch norm: the variance shift".into(),
            panels: vec![accuracies, ratios],
        }
    }

    fn checks(&self) -> Vec<Check> {
        let of = |place: usize| self.places[place].trials.last().copied();
        let (Some(before), Some(behind)) = (of(0), of(2)) else { return vec![] };
        vec![
            Check::new(
                format!(
                    "dropout before batch norm: variance shifts, below 0.7 ({:.2})",
                    before.variance_ratio
                ),
                before.variance_ratio < 0.7,
            ),
            Check::new(
                format!(
                    "dropout behind the last batch norm: no shift, 0.9 to 1.1 ({:.2}), and accuracy above 0.9 ({:.3})",
                    behind.variance_ratio, behind.accuracy
                ),
                (0.9..1.1).contains(&behind.variance_ratio) && behind.accuracy > 0.9,
            ),
            Check::new(
                format!("dropout: order cures what it cost ({:.3}, {:.3})", before.accuracy, behind.accuracy),
                behind.accuracy > before.accuracy,
            ),
        ]
    }
}
