//! What the experiments found, as JSON, and what must hold of it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::data::Recorded;
use crate::footguns::{BatchEvaluation, BatchSize};
use crate::landscape::Landscape;
use crate::{digits, regression};

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub adapter: String,
    pub regression: Option<Regression>,
    pub digits: Option<Digits>,
    pub why: Option<Why>,
    pub footguns: Option<Footguns>,
    pub seconds: f64,
}

/// A pair of results.
#[derive(Debug, Serialize)]
pub struct Pair<T> {
    pub with: T,
    pub without: T,
}

#[derive(Debug, Serialize)]
pub struct Regression {
    /// From the recorded data and weights.
    #[serde(flatten)]
    pub recorded: Pair<regression::Curve>,
    /// Largest distance from the recorded float64 curve: of the first 8 losses with, of all without.
    pub distance_from_recorded: Pair<f64>,
    /// From data and weights of our own, one per seed.
    pub own: Vec<OwnRegression>,
}

#[derive(Debug, Serialize)]
pub struct OwnRegression {
    pub seed: u64,
    #[serde(flatten)]
    pub curves: Pair<regression::Curve>,
}

/// Losses compared with the recorded curve: beyond, rounding decides (the run with batch normalization is chaotic).
const COMPARABLE: usize = 8;

impl Regression {
    pub fn new(recorded: &Recorded, curves: Pair<regression::Curve>, own: Vec<OwnRegression>) -> Self {
        let distance = |got: &[f32], want: &[f64]| {
            got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs()).fold(0.0, f64::max)
        };
        let with = distance(&curves.with.train_loss, &recorded.with.train_loss[..COMPARABLE]);
        let without = distance(&curves.without.train_loss, &recorded.without.train_loss);
        Self { recorded: curves, distance_from_recorded: Pair { with, without }, own }
    }
}

#[derive(Debug, Serialize)]
pub struct Digits {
    pub data: String,
    pub seeds: Vec<u64>,
    #[serde(flatten)]
    pub curves: Pair<Accuracy>,
    /// How many times fewer steps batch normalization needs to the plain net's best, mean over the seeds.
    pub steps_ratio: Option<f64>,
    /// The same for each seed: plain net's best accuracy, its step, the step at which batch normalization is there.
    pub to_the_plain_best: Vec<ToBest>,
    /// Inputs of a typical sigmoid of the last hidden layer over the test set (first seed).
    pub sigmoid_inputs: Pair<SigmoidInputs>,
}

#[derive(Debug, Serialize)]
pub struct Accuracy {
    pub steps: Vec<u32>,
    /// Per seed.
    pub accuracy: Vec<Vec<f32>>,
    pub steps_per_second: f64,
}

#[derive(Debug, Serialize)]
pub struct ToBest {
    pub accuracy: f32,
    pub without: u32,
    pub with: Option<u32>,
}

#[derive(Debug, Serialize)]
pub struct SigmoidInputs {
    pub unit: usize,
    pub steps: Vec<u32>,
    /// 15th, 50th and 85th.
    pub percentiles: Vec<[f32; 3]>,
}

impl SigmoidInputs {
    pub fn new(watched: &digits::Watched) -> Self {
        let unit = watched.typical_feature();
        Self { unit, steps: watched.steps.clone(), percentiles: watched.percentiles(unit) }
    }
}

impl Accuracy {
    pub fn new(curves: &[digits::Curve]) -> Self {
        Self {
            steps: curves[0].steps.clone(),
            accuracy: curves.iter().map(|curve| curve.accuracy.clone()).collect(),
            steps_per_second: mean(curves.iter().map(|curve| curve.steps_per_second)),
        }
    }

    /// Over the seeds, at each measurement.
    pub fn mean(&self) -> Vec<f64> {
        (0..self.steps.len()).map(|at| mean(self.accuracy.iter().map(|curve| f64::from(curve[at])))).collect()
    }

    /// Over the seeds, at this step; `None` where nothing was measured.
    pub fn mean_at(&self, step: u32) -> Option<f64> {
        Some(self.mean()[self.steps.iter().position(|&s| s == step)?])
    }
}

impl Digits {
    pub fn new(
        data: &str,
        seeds: Vec<u64>,
        curves: Pair<Vec<digits::Curve>>,
        inputs: Pair<SigmoidInputs>,
    ) -> Self {
        let to_the_plain_best: Vec<_> = std::iter::zip(&curves.with, &curves.without)
            .map(|(with, without)| {
                let accuracy = without.best();
                let plain = without.first_step_at(accuracy).unwrap_or_default();
                ToBest { accuracy, without: plain, with: with.first_step_at(accuracy) }
            })
            .collect();
        let ratios: Option<Vec<f64>> = to_the_plain_best
            .iter()
            .map(|best| {
                best.with.filter(|&with| with > 0).map(|with| f64::from(best.without) / f64::from(with))
            })
            .collect();
        Self {
            data: data.into(),
            seeds,
            curves: Pair { with: Accuracy::new(&curves.with), without: Accuracy::new(&curves.without) },
            steps_ratio: ratios.map(|ratios| mean(ratios.into_iter())),
            to_the_plain_best,
            sigmoid_inputs: inputs,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Why {
    #[serde(flatten)]
    pub landscape: Pair<Landscape>,
    /// Test accuracy of the three nets at `steps`, and how far the mean input of a last-layer sigmoid moves in ten
    /// steps of training: "internal covariate shift".
    pub steps: Vec<u32>,
    pub accuracy: Three<Vec<f32>>,
    pub drift: Three<f64>,
}

#[derive(Debug, Serialize)]
pub struct Three<T> {
    pub with: T,
    pub noisy: T,
    pub without: T,
}

#[derive(Debug, Serialize)]
pub struct Footguns {
    /// Accuracy of a net trained in batches of 60, with running statistics and with those of each test batch.
    pub running_statistics: f32,
    pub batch_statistics: Vec<BatchEvaluation>,
    pub batch_sizes: Vec<BatchSize>,
    pub batch_size_steps: u32,
    /// Evaluation loss of the regression with the biased running variance.
    pub regression_biased_eval_loss: f32,
    pub regression_unbiased_eval_loss: f32,
}

/// A statement about the results that must hold.
pub struct Check {
    pub what: String,
    pub holds: bool,
}

fn check(what: String, holds: bool) -> Check {
    Check { what, holds }
}

impl Report {
    /// What must hold of a run of the recorded data; the short runs stop before batch normalization has converged.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = vec![];
        if let Some(regression) = &self.regression {
            let Pair { with, without } = &regression.recorded;
            let complete = with.train_loss.len() > regression::STEPS as usize;
            let Pair { with: start, without: whole } = regression.distance_from_recorded;
            checks.push(check(
                format!("regression with: first {COMPARABLE} losses within 1e-4 of the record ({start:.1e})"),
                start <= 1e-4,
            ));
            checks.push(check(
                format!("regression without: every loss within 1e-5 of the record ({whole:.1e})"),
                whole <= 1e-5,
            ));
            let pairs = regression.own.iter().map(|own| (format!(", seed {}", own.seed), &own.curves));
            for (name, Pair { with, without }) in
                std::iter::once((String::new(), &regression.recorded)).chain(pairs)
            {
                if complete {
                    checks.push(check(
                        format!(
                            "regression with{name}: evaluation loss between 5e-6 and 1e-4 ({:.2e})",
                            with.eval_loss
                        ),
                        (5e-6..=1e-4).contains(&with.eval_loss),
                    ));
                    checks.push(check(
                        format!(
                            "regression without{name}: evaluation loss between 0.4 and 0.6 ({:.3})",
                            without.eval_loss
                        ),
                        (0.4..=0.6).contains(&without.eval_loss),
                    ));
                }
            }
            let (last, plain) = (end(&with.train_loss), end(&without.train_loss));
            checks.push(check(
                format!(
                    "regression: training loss with below a fifth of that without ({last:.2e}, {plain:.2e})"
                ),
                last < 0.2 * plain,
            ));
        }
        if let Some(digits) = self.digits.as_ref().filter(|digits| digits.data == "digits") {
            let at = |accuracy: &Accuracy, step| accuracy.mean_at(step).unwrap_or(f64::NAN);
            let (with, without) = (at(&digits.curves.with, 100), at(&digits.curves.without, 100));
            checks.push(check(
                format!("digits: accuracy after 100 steps above 0.9 with, below 0.5 without ({with:.3}, {without:.3})"),
                with > 0.9 && without < 0.5,
            ));
            if digits.curves.with.steps.last() == Some(&digits::STEPS) {
                let ratio = digits.steps_ratio.unwrap_or(0.0);
                checks.push(check(
                    format!("digits: at least 10 times fewer steps to the plain net's best ({ratio:.0})"),
                    ratio >= 10.0,
                ));
            }
        }
        checks
    }

    pub fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join("report.json");
        fs::write(&path, serde_json::to_string(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The last of the losses.
pub fn end(losses: &[f32]) -> f32 {
    losses.last().copied().unwrap_or(f32::NAN)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}
