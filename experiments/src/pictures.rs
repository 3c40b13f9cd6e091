//! The report as pictures.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use plotters::prelude::SeriesLabelPosition;
use plotters::style::RGBColor;

use crate::landscape::Landscape;
use crate::plots::{self, Band, Line, NOISY, Panel, Picture, WITH, WITHOUT};
use crate::regression;
use crate::report::{Digits, Pair, Report, SigmoidInputs, Why};

impl Report {
    /// Writes every picture there is data for; returns their names.
    pub fn draw(&self, directory: &Path) -> Result<Vec<&'static str>> {
        let mut names = vec![];
        let mut save = |name: &'static str, picture: Picture| {
            names.push(name);
            plots::save(directory, name, &picture)
        };
        if let Some(regression) = &self.regression {
            save("regression", regression_picture(&regression.recorded))?;
        }
        if let Some(digits) = &self.digits {
            save("digits_accuracy", accuracy_picture(digits))?;
            save("digits_inputs", inputs_picture(&digits.sigmoid_inputs))?;
        }
        if let Some(why) = &self.why {
            save("why_landscape", landscape_picture(&why.landscape))?;
            save("why_noise", noise_picture(why))?;
        }
        Ok(names)
    }
}

fn line(label: &str, color: RGBColor, points: Vec<(f64, f64)>) -> Line {
    Line { label: label.into(), color, opacity: 1.0, width: 3, points }
}

fn points<'a>(steps: &'a [u32], values: &'a [f32]) -> impl Iterator<Item = (f64, f64)> + 'a {
    steps.iter().zip(values).map(|(&step, &value)| (step.into(), value.into()))
}

/// Powers of ten around all values.
fn decades(values: impl Iterator<Item = f32>) -> Range<f64> {
    let (low, high) =
        values.filter(|&v| v > 0.0).fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
    10f64.powf(f64::from(low).log10().floor())..10f64.powf(f64::from(high).log10().ceil())
}

fn regression_picture(pair: &Pair<regression::Curve>) -> Picture {
    let curve = |label: &str, color, curve: &regression::Curve| {
        let steps: Vec<u32> = (0..curve.train_loss.len() as u32).collect();
        let label = format!("{label} (evaluation loss at the end {:.2e})", curve.eval_loss);
        line(&label, color, points(&steps, &curve.train_loss).collect())
    };
    let panel = Panel {
        title: "512 examples, full batch, SGD with learning rate 0.05".into(),
        x_label: "training step".into(),
        y_label: "training loss (mean squared error)".into(),
        y_range: decades(pair.with.train_loss.iter().chain(&pair.without.train_loss).copied()),
        log_y: true,
        legend: SeriesLabelPosition::LowerLeft,
        bands: vec![],
        lines: vec![curve("with batch norm", WITH, &pair.with), curve("without", WITHOUT, &pair.without)],
    };
    Picture { title: "Deep regression: six hidden layers of 128 rectifiers".into(), panels: vec![panel] }
}

fn accuracy_picture(digits: &Digits) -> Picture {
    let mut lines = vec![];
    for (label, color, accuracy) in
        [("with batch norm", WITH, &digits.curves.with), ("without", WITHOUT, &digits.curves.without)]
    {
        if accuracy.accuracy.len() > 1 {
            for curve in &accuracy.accuracy {
                let points = points(&accuracy.steps, curve).collect();
                lines.push(Line { label: String::new(), color, opacity: 0.25, width: 1, points });
            }
        }
        let mean: Vec<f32> = accuracy.mean().into_iter().map(|value| value as f32).collect();
        let label = match accuracy.accuracy.len() {
            1 => label.to_owned(),
            seeds => format!("{label} (mean of {seeds} seeds)"),
        };
        lines.push(line(&label, color, points(&accuracy.steps, &mean).collect()));
    }
    let panel = Panel {
        title: "three hidden layers of 100 sigmoid units, batches of 60, SGD with learning rate 0.5".into(),
        x_label: "training step".into(),
        y_label: "test accuracy".into(),
        y_range: 0.0..1.0,
        log_y: false,
        legend: SeriesLabelPosition::LowerRight,
        bands: vec![],
        lines,
    };
    Picture { title: format!("Test accuracy while training ({})", digits.data), panels: vec![panel] }
}

fn inputs_picture(inputs: &Pair<SigmoidInputs>) -> Picture {
    let all = || [&inputs.with, &inputs.without].into_iter().flat_map(|inputs| &inputs.percentiles).flatten();
    let largest = f64::from(all().fold(1.0f32, |largest, value| largest.max(value.abs()))).ceil();
    let panel = |title: &str, color: RGBColor, inputs: &SigmoidInputs| {
        let at = |i: usize| -> Vec<(f64, f64)> {
            let values: Vec<f32> = inputs.percentiles.iter().map(|percentiles| percentiles[i]).collect();
            points(&inputs.steps, &values).collect()
        };
        let band = std::iter::zip(&inputs.steps, &inputs.percentiles)
            .map(|(&step, p)| (step.into(), p[0].into(), p[2].into()))
            .collect();
        let thin = |points| Line { label: String::new(), color, opacity: 0.8, width: 1, points };
        Panel {
            title: title.into(),
            x_label: "training step".into(),
            y_label: "input of the sigmoid".into(),
            y_range: -largest..largest,
            log_y: false,
            legend: SeriesLabelPosition::LowerRight,
            bands: vec![Band { color, points: band }],
            lines: vec![
                Line { label: "15th to 85th percentile".into(), opacity: 0.3, width: 10, ..thin(vec![]) },
                thin(at(0)),
                thin(at(2)),
                line("median", color, at(1)),
            ],
        }
    };
    Picture {
        title: "Inputs of a typical sigmoid of the last hidden layer, over the test set".into(),
        panels: vec![
            panel("without batch norm", WITHOUT, &inputs.without),
            panel("with batch norm", WITH, &inputs.with),
        ],
    }
}

fn landscape_picture(pair: &Pair<Landscape>) -> Picture {
    let band = |color, steps: &[u32], low: &[f32], high: &[f32]| {
        let both = low.iter().zip(high);
        let points = steps.iter().zip(both).map(|(&s, (&low, &high))| (s.into(), low.into(), high.into()));
        Band { color, points: points.collect() }
    };
    let panel = |title: &str, y_label: &str, y_range, bands, lines| Panel {
        title: title.into(),
        x_label: "training step".into(),
        y_label: y_label.into(),
        y_range,
        log_y: true,
        legend: SeriesLabelPosition::LowerLeft,
        bands,
        lines,
    };
    let lines = |of: fn(&Landscape) -> &Vec<f32>| {
        [("with batch norm", WITH, &pair.with), ("without", WITHOUT, &pair.without)]
            .map(|(label, color, landscape)| {
                line(label, color, points(&landscape.steps, of(landscape)).collect())
            })
            .into()
    };
    let values = |of: fn(&Landscape) -> &Vec<f32>| {
        [&pair.with, &pair.without].into_iter().flat_map(of).copied().collect::<Vec<f32>>()
    };
    let losses = [values(|l| &l.loss), values(|l| &l.loss_min), values(|l| &l.loss_max)].concat();
    let losses = decades(losses.into_iter());
    let bands = [(WITH, &pair.with), (WITHOUT, &pair.without)]
        .map(|(color, l)| band(color, &l.steps, &l.loss_min, &l.loss_max))
        .into();
    Picture {
        title: "Along the step, from 0.5 to 4 learning rates ahead".into(),
        panels: vec![
            panel("the loss and its range ahead", "loss", losses, bands, lines(|l| &l.loss)),
            panel(
                "how fast the gradient changes",
                "effective β-smoothness",
                decades(values(|l| &l.smoothness).into_iter()),
                vec![],
                lines(|l| &l.smoothness),
            ),
        ],
    }
}

fn noise_picture(why: &Why) -> Picture {
    let curve = |label: &str, color, accuracy: &[f32], drift: f64| {
        let label = format!("{label} (drift of sigmoid inputs {drift:.2})");
        line(&label, color, points(&why.steps, accuracy).collect())
    };
    let panel = Panel {
        title: "noise shifts and scales every feature at random after its normalization".into(),
        x_label: "training step".into(),
        y_label: "test accuracy".into(),
        y_range: 0.0..1.0,
        log_y: false,
        legend: SeriesLabelPosition::LowerRight,
        bands: vec![],
        lines: vec![
            curve("with batch norm", WITH, &why.accuracy.with, why.drift.with),
            Line { width: 1, ..curve("with noisy batch norm", NOISY, &why.accuracy.noisy, why.drift.noisy) },
            curve("without", WITHOUT, &why.accuracy.without, why.drift.without),
        ],
    };
    Picture {
        title: "Is it the stable inputs? Batch norm with and without noise after it".into(),
        panels: vec![panel],
    }
}
