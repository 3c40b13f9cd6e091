//! Before or after the activation: where batch normalization stands.

use anyhow::Result;
use comfy_table::Table;
use plotters::prelude::SeriesLabelPosition;
use serde::Serialize;
use wgpu_batchnorm::Convention;

use super::digits::Accuracy;
use super::findings::{Check, Findings, end, table};
use super::{Lab, Scope};
use crate::digits::{self, Plan};
use crate::network::Normalization;
use crate::plots::{Panel, Picture, Scale, THIRD, WITH, WITHOUT, decades, line, points};
use crate::regression::{self, Curve, RATE};

const PLACES: [(&str, Normalization); 3] = [
    ("before the activation", Normalization::BATCH),
    ("after it", Normalization::AfterActivation(Convention::PyTorch)),
    ("without", Normalization::None),
];
const COLORS: [plotters::style::RGBColor; 3] = [WITH, THIRD, WITHOUT];

#[derive(Debug, Serialize)]
struct Report {
    steps: u32,
    places: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    name: &'static str,
    /// Sigmoids on digits.
    digits: Accuracy,
    /// Rectifiers on the recorded regression.
    regression: Curve,
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let steps = lab.scope.pick(20, 300, 1000);
    let places = PLACES.into_iter().map(|(name, normalization)| place(lab, name, normalization, steps));
    let report = Report { steps, places: places.collect::<Result<_>>()? };
    Ok(Findings::new(&report)?
        .tables([report.table()])
        .pictures([("order", report.picture())])
        .checks(if lab.scope == Scope::Full { report.checks() } else { vec![] }))
}

fn place(lab: &Lab, name: &'static str, normalization: Normalization, steps: u32) -> Result<Place> {
    let curve = |seed| {
        let run = format!("digits, {name}, seed {seed}");
        let plan = Plan { seed, steps, ..Plan::new(&run, normalization) };
        Ok(digits::train(&lab.gpu, &lab.task, &plan)?.curve)
    };
    let curves = (0..lab.scope.pick(1, 1, 3)).map(curve).collect::<Result<Vec<_>>>()?;
    let steps = lab.scope.pick(2, regression::STEPS, regression::STEPS);
    let run = format!("regression, {name}");
    let regression = regression::train(&lab.gpu, &run, &lab.recorded.task, normalization, steps, RATE)?;
    Ok(Place { name, digits: Accuracy::new(&curves), regression })
}

impl Report {
    fn table(&self) -> Table {
        let mut table =
            table(["batch norm", "digits: step 50", "step 100", "last", "regression: train loss"]);
        for Place { name, digits, regression } in &self.places {
            let [early, later, last] =
                [50, 100, self.steps].map(|step| format!("{:.3}", digits.mean_at(step)));
            let loss = format!("{:.2e}", end(&regression.train_loss));
            table.add_row([(*name).to_owned(), early, later, last, loss]);
        }
        table
    }

    fn picture(&self) -> Picture {
        let places = || self.places.iter().zip(COLORS);
        let accuracies = Panel {
            lines: places().flat_map(|(place, color)| place.digits.lines(place.name, color)).collect(),
            ..Panel::new(
                "digits: three hidden layers of 100 sigmoids",
                ["training step", "test accuracy"],
                0.0..1.0,
            )
        };
        let curve = |(place, color): (&Place, _)| {
            let losses = &place.regression.train_loss;
            let steps: Vec<u32> = (0..losses.len() as u32).collect();
            line(place.name, color, points(&steps, losses).collect())
        };
        let losses = self.places.iter().flat_map(|place| &place.regression.train_loss).copied();
        let losses = Panel {
            y_scale: Scale::Decades,
            legend: SeriesLabelPosition::LowerLeft,
            lines: places().map(curve).collect(),
            ..Panel::new(
                "regression: six hidden layers of 128 rectifiers",
                ["training step", "training loss"],
                decades(losses),
            )
        };
        Picture {
            title: "Batch norm before or after the activation".into(),
            panels: vec![accuracies, losses],
        }
    }

    fn checks(&self) -> Vec<Check> {
        let trained = |place: &Place| {
            let (accuracy, loss) = (place.digits.mean_at(self.steps), end(&place.regression.train_loss));
            Check::new(
                format!(
                    "order, {}: accuracy above 0.95, loss below 0.05 ({accuracy:.3}, {loss:.1e})",
                    place.name
                ),
                accuracy > 0.95 && loss < 0.05,
            )
        };
        self.places[..2].iter().map(trained).collect()
    }
}
