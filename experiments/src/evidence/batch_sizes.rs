//! Small batches: what becomes of batch normalization, and the ways out.
//!
//! All networks see the same number of examples. The learning rate is proportional to the batch, as is usual
//! (Goyal et al. 2017).

use anyhow::Result;
use comfy_table::Table;
use plotters::prelude::SeriesLabelPosition;
use plotters::style::RGBColor;
use serde::Serialize;

use super::findings::{Check, Findings, table};
use super::{Lab, Scope};
use crate::digits::{self, BATCH, Plan, RATE};
use crate::network::Normalization;
use crate::plots::{FIFTH, FOURTH, Line, Panel, Picture, Scale, THIRD, WITH, WITHOUT, line};

/// The largest batch, which the others are micro-batches of.
const LARGEST: u32 = 256;
/// A row of 128 features lies at an offset that every device can bind.
const HIDDEN: [u32; 3] = [128; 3];
const GROUPS: u32 = 8;

#[derive(Debug, Serialize)]
struct Report {
    /// Training images that each network has seen.
    examples: u32,
    sizes: Vec<u32>,
    kinds: Vec<Kind>,
}

#[derive(Debug, Serialize)]
struct Kind {
    name: &'static str,
    /// Last test accuracy by size.
    accuracy: Vec<f32>,
}

/// A way to normalize, where a device has room for so many examples at a time.
struct Way {
    name: &'static str,
    color: RGBColor,
    normalization: fn(u32) -> Normalization,
    /// Whether gradients are accumulated: the update is that of a batch of [`LARGEST`], whatever fits.
    accumulates: bool,
}

const WAYS: [Way; 5] = [
    Way { name: "batch norm", color: WITH, normalization: |_| Normalization::BATCH, accumulates: false },
    Way {
        name: "batch norm, gradients accumulated to 256",
        color: FIFTH,
        normalization: Normalization::VirtualBatches,
        accumulates: true,
    },
    Way {
        name: "the same, statistics merged to 256",
        color: THIRD,
        normalization: Normalization::MicroBatches,
        accumulates: true,
    },
    Way { name: "layer norm", color: WITHOUT, normalization: |_| Normalization::LAYER, accumulates: false },
    Way {
        name: "group norm, 8 groups",
        color: FOURTH,
        normalization: |_| Normalization::Groups(GROUPS),
        accumulates: false,
    },
];

pub fn run(lab: &Lab) -> Result<Findings> {
    let sizes = lab.scope.pick(vec![64], vec![4, 16, 64], vec![2, 4, 8, 16, 32, 64, 128, 256]);
    let examples = lab.scope.pick(1, 40, 40) * LARGEST;
    let kind = |way: &Way| {
        let accuracies = sizes.iter().map(|&size| accuracy(lab, way, size, examples));
        Ok(Kind { name: way.name, accuracy: accuracies.collect::<Result<_>>()? })
    };
    let kinds = WAYS.iter().map(kind).collect::<Result<_>>()?;
    let report = Report { examples, sizes, kinds };
    Ok(Findings::new(&report)?
        .tables([report.table()])
        .pictures([("batch_sizes", report.picture())])
        .checks(if lab.scope == Scope::Full { report.checks() } else { vec![] }))
}

fn accuracy(lab: &Lab, way: &Way, size: u32, examples: u32) -> Result<f32> {
    let batch = if way.accumulates { LARGEST } else { size };
    let name = format!("{}, {size} at a time", way.name);
    let steps = examples / batch;
    let plan = Plan {
        hidden: &HIDDEN,
        steps,
        batch,
        rate: RATE * batch as f32 / BATCH as f32,
        every: steps,
        ..Plan::new(&name, (way.normalization)(size))
    };
    Ok(digits::train(&lab.gpu, &lab.task, &plan)?.curve.last())
}

impl Report {
    fn table(&self) -> Table {
        let sizes = self.sizes.iter().map(u32::to_string);
        let mut table = table(std::iter::once("examples at a time".to_owned()).chain(sizes));
        for Kind { name, accuracy } in &self.kinds {
            let cells = accuracy.iter().map(|accuracy| format!("{accuracy:.3}"));
            table.add_row(std::iter::once((*name).to_owned()).chain(cells));
        }
        table
    }

    fn picture(&self) -> Picture {
        let curve = |(kind, way): (&Kind, &Way)| {
            let points =
                std::iter::zip(&self.sizes, &kind.accuracy).map(|(&size, &a)| (size.into(), a.into()));
            Line { dots: true, ..line(kind.name, way.color, points.collect()) }
        };
        let panel = Panel {
            x_scale: Scale::Doublings,
            legend: SeriesLabelPosition::LowerLeft,
            lines: self.kinds.iter().zip(&WAYS).map(curve).collect(),
            ..Panel::new(
                &format!("digits, 3 × 128 sigmoids, {} examples seen, rate ∝ batch", self.examples),
                ["examples at a time", "test accuracy"],
                0.0..1.0,
            )
        };
        Picture { title: "Small batches, and the ways out".into(), panels: vec![panel] }
    }

    fn checks(&self) -> Vec<Check> {
        let [batch, accumulated, merged, layer, group] = [0, 1, 2, 3, 4].map(|k| &self.kinds[k].accuracy);
        let least = |accuracy: &[f32]| accuracy.iter().copied().fold(1.0, f32::min);
        let mut checks = vec![Check::new(
            format!(
                "batch sizes: batch norm falls from 64 at a time to 2 ({:.3} to {:.3})",
                batch[5], batch[0]
            ),
            batch[5] > 0.9 && batch[0] < 0.7,
        )];
        checks.push(Check::new(
            format!("batch sizes: accumulating gradients does not cure it at 2 ({:.3})", accumulated[0]),
            accumulated[0] < 0.9,
        ));
        // Layer and group normalization learn less from the few steps that large batches leave.
        for (name, accuracy, sizes) in [
            ("merged statistics", &merged[..], "every size"),
            ("layer norm", &layer[..3], "2, 4 and 8"),
            ("group norm", &group[..3], "2, 4 and 8"),
        ] {
            let least = least(accuracy);
            let what = format!("batch sizes: with {name}, accuracy at least 0.9 at {sizes} ({least:.3})");
            checks.push(Check::new(what, least >= 0.9));
        }
        checks
    }
}
