//! Why it works: what the loss does along a step, and whether stable inputs matter.

use anyhow::Result;
use comfy_table::Table;
use plotters::prelude::SeriesLabelPosition;
use plotters::style::RGBColor;
use serde::Serialize;

use super::Lab;
use super::findings::{Findings, Pair, end, median, table};
use crate::digits::{self, Plan, STEPS, Trained, Watch};
use crate::landscape::{self, Landscape};
use crate::network::Normalization;
use crate::plots::{Band, Line, Panel, Picture, Scale, THIRD, WITH, WITHOUT, decades, line, points};

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    landscape: Pair<Landscape>,
    /// Test accuracy of the three nets at `steps`, and how far the mean input of a last-layer sigmoid moves in ten
    /// steps of training: "internal covariate shift".
    steps: Vec<u32>,
    accuracy: Three<Vec<f32>>,
    drift: Three<f64>,
}

#[derive(Debug, Serialize)]
struct Three<T> {
    with: T,
    noisy: T,
    without: T,
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let steps = lab.scope.pick(20, 400, STEPS);
    let landscape = Pair::of(|kind, normalization| {
        landscape::measure(&lab.gpu, &lab.task, &format!("landscape, {kind}"), normalization, 0, steps)
    })?;
    let train = |kind: &str, normalization| {
        let name = format!("drift, {kind}");
        let plan = Plan { steps, watch: Watch::Batch, ..Plan::new(&name, normalization) };
        digits::train(&lab.gpu, &lab.task, &plan)
    };
    let with = train("with", Normalization::BATCH)?;
    let noisy = train("noisy", Normalization::Noisy)?;
    let without = train("without", Normalization::None)?;
    let drift = |trained: &Trained| trained.watched.as_ref().map_or(f64::NAN, |watched| watched.drift());
    let report = Report {
        landscape,
        steps: with.curve.steps.clone(),
        drift: Three { with: drift(&with), noisy: drift(&noisy), without: drift(&without) },
        accuracy: Three {
            with: with.curve.accuracy,
            noisy: noisy.curve.accuracy,
            without: without.curve.accuracy,
        },
    };
    Ok(Findings::new(&report)?
        .tables([report.ahead(), report.nets()])
        .pictures([("why_landscape", report.landscape_picture()), ("why_noise", report.noise_picture())]))
}

impl Report {
    fn ahead(&self) -> Table {
        let mut table = table([
            "along the step (median)",
            "loss range",
            "gradient norm",
            "relative gradient change",
            "smoothness",
        ]);
        for (kind, at) in self.landscape.named() {
            let range = at.loss_max.iter().zip(&at.loss_min).map(|(max, min)| max - min);
            let change = at.gradient_change_max.iter().zip(&at.gradient_norm).map(|(c, norm)| c / norm);
            table.add_row([
                kind.to_owned(),
                format!("{:.1e}", median(range)),
                format!("{:.1e}", median(at.gradient_norm.iter().copied())),
                format!("{:.2}", median(change)),
                format!("{:.2}", median(at.smoothness.iter().copied())),
            ]);
        }
        table
    }

    fn nets(&self) -> Table {
        let mut table = table(["digits", "last accuracy", "best", "0.9 at step", "drift of sigmoid inputs"]);
        let Self { accuracy, drift, .. } = self;
        for (kind, accuracy, drift) in [
            ("with", &accuracy.with, drift.with),
            ("with, noisy", &accuracy.noisy, drift.noisy),
            ("without", &accuracy.without, drift.without),
        ] {
            let reached = accuracy.iter().position(|&a| a >= 0.9).map(|at| self.steps[at]);
            table.add_row([
                kind.to_owned(),
                format!("{:.3}", end(accuracy)),
                format!("{:.3}", accuracy.iter().copied().fold(0.0, f32::max)),
                reached.map_or("never".into(), |step| step.to_string()),
                format!("{drift:.3}"),
            ]);
        }
        table
    }

    fn landscape_picture(&self) -> Picture {
        let pair = &self.landscape;
        let both = || [("with batch norm", WITH, &pair.with), ("without", WITHOUT, &pair.without)];
        let band = |(_, color, at): (&str, RGBColor, &Landscape)| {
            let range = at.loss_min.iter().zip(&at.loss_max);
            let points =
                at.steps.iter().zip(range).map(|(&s, (&low, &high))| (s.into(), low.into(), high.into()));
            Band { color, points: points.collect() }
        };
        let lines = |of: fn(&Landscape) -> &Vec<f32>| {
            let curve = |(label, color, at): (&str, _, &Landscape)| {
                line(label, color, points(&at.steps, of(at)).collect())
            };
            both().map(curve).into()
        };
        let values = |of: fn(&Landscape) -> &Vec<f32>| {
            [&pair.with, &pair.without].into_iter().flat_map(of).copied().collect::<Vec<f32>>()
        };
        let losses = [values(|l| &l.loss), values(|l| &l.loss_min), values(|l| &l.loss_max)].concat();
        let panel = |title: &str, y_label, values: Vec<f32>, bands, lines| Panel {
            y_scale: Scale::Decades,
            legend: SeriesLabelPosition::LowerLeft,
            bands,
            lines,
            ..Panel::new(title, ["training step", y_label], decades(values.into_iter()))
        };
        let (bands, smoothness) = (both().map(band).into(), values(|l| &l.smoothness));
        let speed = lines(|l| &l.smoothness);
        Picture {
            title: "Along the step, from 0.5 to 4 learning rates ahead".into(),
            panels: vec![
                panel("the loss and its range ahead", "loss", losses, bands, lines(|l| &l.loss)),
                panel("how fast the gradient changes", "effective β-smoothness", smoothness, vec![], speed),
            ],
        }
    }

    fn noise_picture(&self) -> Picture {
        let curve = |label: &str, color, accuracy: &[f32], drift: f64| {
            let label = format!("{label} (drift of sigmoid inputs {drift:.2})");
            line(&label, color, points(&self.steps, accuracy).collect())
        };
        let Self { accuracy, drift, .. } = self;
        let noisy = curve("with noisy batch norm", THIRD, &accuracy.noisy, drift.noisy);
        let panel = Panel {
            lines: vec![
                curve("with batch norm", WITH, &accuracy.with, drift.with),
                Line { width: 1, ..noisy },
                curve("without", WITHOUT, &accuracy.without, drift.without),
            ],
            ..Panel::new(
                "noise shifts and scales every feature at random after its normalization",
                ["training step", "test accuracy"],
                0.0..1.0,
            )
        };
        Picture {
            title: "Is it the stable inputs? Batch norm with and without noise after it".into(),
            panels: vec![panel],
        }
    }
}
