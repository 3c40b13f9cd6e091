//! The report as tables.

use comfy_table::{Table, presets};

use crate::digits::STEPS;
use crate::footguns::BatchEvaluation;
use crate::report::{Digits, Report, end};

impl Report {
    /// One table per experiment or two.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = vec![];
        if let Some(regression) = &self.regression {
            let mut table = table(["deep regression", "train loss", "evaluation loss", "steps/s"]);
            let own = regression.own.iter().map(|own| (format!("own seed {}", own.seed), &own.curves));
            for (name, pair) in std::iter::once(("recorded".to_owned(), &regression.recorded)).chain(own) {
                for (kind, curve) in [("with", &pair.with), ("without", &pair.without)] {
                    table.add_row([
                        format!("{name}, {kind}"),
                        format!("{:.2e}", end(&curve.train_loss)),
                        format!("{:.2e}", curve.eval_loss),
                        format!("{:.0}", curve.steps_per_second),
                    ]);
                }
            }
            tables.push(table);
        }
        if let Some(digits) = &self.digits {
            let marks: Vec<u32> = [50, 100, 200, 500, 1000, 2000]
                .into_iter()
                .filter(|m| digits.curves.with.steps.contains(m))
                .collect();
            let header = [digits.data.clone()]
                .into_iter()
                .chain(marks.iter().map(|mark| format!("step {mark}")))
                .chain(["steps/s".into()]);
            let mut accuracies = table(header);
            for (kind, accuracy) in [("with", &digits.curves.with), ("without", &digits.curves.without)] {
                let cells =
                    marks.iter().map(|&mark| format!("{:.3}", accuracy.mean_at(mark).unwrap_or(f64::NAN)));
                let speed = format!("{:.0}", accuracy.steps_per_second);
                accuracies.add_row(std::iter::once(kind.to_owned()).chain(cells).chain([speed]));
            }
            tables.push(accuracies);
        }
        // In a shorter run the plain net has not begun to learn, and its best means nothing.
        let complete = |digits: &&Digits| digits.curves.with.steps.last() == Some(&STEPS);
        if let Some(digits) = self.digits.as_ref().filter(complete) {
            let mut ratios = table(["seed", "plain best", "at step", "with: there at", "times fewer"]);
            for (seed, best) in digits.seeds.iter().zip(&digits.to_the_plain_best) {
                let ratio = best.with.map(|with| format!("{:.0}", f64::from(best.without) / f64::from(with)));
                ratios.add_row([
                    seed.to_string(),
                    format!("{:.3}", best.accuracy),
                    best.without.to_string(),
                    best.with.map_or("never".into(), |step| step.to_string()),
                    ratio.unwrap_or("-".into()),
                ]);
            }
            tables.push(ratios);
        }
        if let Some(why) = &self.why {
            let mut ahead = table([
                "along the step (median)",
                "loss range",
                "gradient norm",
                "relative gradient change",
                "smoothness",
            ]);
            for (kind, at) in [("with", &why.landscape.with), ("without", &why.landscape.without)] {
                let range = at.loss_max.iter().zip(&at.loss_min).map(|(max, min)| max - min);
                let change = at.gradient_change_max.iter().zip(&at.gradient_norm).map(|(c, norm)| c / norm);
                ahead.add_row([
                    kind.to_owned(),
                    format!("{:.1e}", median(range)),
                    format!("{:.1e}", median(at.gradient_norm.iter().copied())),
                    format!("{:.2}", median(change)),
                    format!("{:.2}", median(at.smoothness.iter().copied())),
                ]);
            }
            tables.push(ahead);
            let mut nets =
                table(["digits", "last accuracy", "best", "0.9 at step", "drift of sigmoid inputs"]);
            let row = |accuracy: &[f32], drift: f64| {
                let best = accuracy.iter().copied().fold(0.0, f32::max);
                let reached = accuracy.iter().position(|&a| a >= 0.9).map(|at| why.steps[at]);
                [
                    format!("{:.3}", accuracy.last().copied().unwrap_or(f32::NAN)),
                    format!("{best:.3}"),
                    reached.map_or("never".into(), |step| step.to_string()),
                    format!("{drift:.3}"),
                ]
            };
            for (kind, accuracy, drift) in [
                ("with", &why.accuracy.with, why.drift.with),
                ("with, noisy", &why.accuracy.noisy, why.drift.noisy),
                ("without", &why.accuracy.without, why.drift.without),
            ] {
                nets.add_row(std::iter::once(kind.to_owned()).chain(row(accuracy, drift)));
            }
            tables.push(nets);
        }
        if let Some(footguns) = &self.footguns {
            let mut evaluation = table([
                "evaluated with the statistics of",
                "images in random order",
                "images sorted by digit",
            ]);
            let running = format!("{:.3}", footguns.running_statistics);
            evaluation.add_row(["training (running)".into(), running.clone(), running]);
            for BatchEvaluation { batch, mixed, sorted } in &footguns.batch_statistics {
                let batches = format!("each batch of {batch}");
                evaluation.add_row([batches, format!("{mixed:.3}"), format!("{sorted:.3}")]);
            }
            tables.push(evaluation);
            let mut sizes = table([
                "trained in batches of",
                "train loss",
                "unbiased running variance",
                "biased",
                "statistics of the test set",
            ]);
            for size in &footguns.batch_sizes {
                sizes.add_row([
                    size.batch.to_string(),
                    format!("{:.3}", size.train_loss),
                    format!("{:.3}", size.unbiased),
                    format!("{:.3}", size.biased),
                    format!("{:.3}", size.test_statistics),
                ]);
            }
            tables.push(sizes);
            let mut bias = table(["deep regression", "evaluation loss"]);
            let row = |name: &str, loss: f32| [name.to_owned(), format!("{loss:.2e}")];
            bias.add_row(row("unbiased running variance", footguns.regression_unbiased_eval_loss));
            bias.add_row(row("biased running variance", footguns.regression_biased_eval_loss));
            tables.push(bias);
        }
        tables
    }
}

fn table<T: Into<comfy_table::Cell>>(header: impl IntoIterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.into_iter().collect::<Vec<T>>());
    table
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f32::NAN)
}
