//! Judges the results of a case by its [`rules`](super::rules).

use super::case::{Case, Tensor};
use super::results::Results;
use super::rules::{Against, At, Rule, SMALLEST_NORMAL, rules};

/// The verdict on one tensor.
pub struct Row {
    pub tensor: String,
    pub outcome: Outcome,
    /// What a reader should know of it; often empty.
    pub note: String,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Outcome {
    /// The worst scaled error, and what is allowed.
    Compared { error: f64, tolerance: f64 },
    /// The note says why.
    Skipped,
}

impl Row {
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Compared { error, tolerance } if error > tolerance)
    }
}

/// Everything compared for one case.
pub struct Report {
    pub rows: Vec<Row>,
    /// Rules that the case's data calls for.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether something was compared and all of it is right.
    pub fn passed(&self) -> bool {
        let compared = self.rows.iter().any(|row| row.outcome != Outcome::Skipped);
        compared && !self.rows.iter().any(Row::failed)
    }
}

/// Compares what there is of `results`, and names what could not be compared.
pub fn compare(case: &Case, results: &Results) -> Report {
    let tensors = results.publish(case);
    let skip = |(tensor, reason): &(String, String)| Row {
        tensor: tensor.clone(),
        outcome: Outcome::Skipped,
        note: reason.clone(),
    };
    let mut skipped: Vec<Row> = case.skipped.iter().map(skip).collect();
    let mut rows = Vec::new();
    for rule in rules(case) {
        if !skipped.iter().any(|row| row.tensor == rule.tensor) {
            rows.push(judge(case, &rule, tensors.get(&rule.tensor)));
        }
    }
    for name in case.truth.keys() {
        let named = |row: &Row| row.tensor == *name;
        if !rows.iter().any(named) && !skipped.iter().any(named) {
            skipped.push(skip(&(name.clone(), "no result of the layer has this name".into())));
        }
    }
    rows.append(&mut skipped);
    Report { rows, notes: notes(case) }
}

fn notes(case: &Case) -> Vec<String> {
    let any = |kind: fn(&f32) -> bool| {
        case.steps.iter().chain(&case.evaluation).any(|input| input.x.iter().any(kind))
    };
    let mut notes = Vec::new();
    if any(|x| x.is_subnormal()) {
        notes.push(format!(
            "x holds denormals, which a device may flush to zero: differences up to the smallest normal float32, \
             {SMALLEST_NORMAL:.1e}, in x or a result count as none; everything is compared with that allowance"
        ));
    }
    if any(|x| !x.is_finite()) {
        notes.push(
            "x holds NaN or Inf: where the truth is not finite the result must not be either (y and dx: NaN where \
             it is NaN); all other features are compared as usual"
                .into(),
        );
    }
    notes
}

fn judge(case: &Case, rule: &Rule, got: Option<&Tensor>) -> Row {
    let row = |outcome, note: String| {
        let tensor = match rule.against {
            Against::Truth => rule.tensor.clone(),
            Against::Stored => format!("{} (stored float32)", rule.tensor),
            Against::Bias(_) => format!("{} (constant features)", rule.tensor),
        };
        Row { tensor, outcome, note }
    };
    let want = match rule.against {
        Against::Truth => case.truth.get(&rule.tensor),
        Against::Stored => case.stored.get(&rule.tensor),
        Against::Bias(_) => None,
    };
    let Some(got) = got else {
        return row(Outcome::Skipped, "the run gave no such result".into());
    };
    let compared = |error| Outcome::Compared { error, tolerance: rule.tolerance };
    match (&rule.against, want) {
        (Against::Bias(constant), _) => {
            let bias = |i| constant[rule.at.feature(i)].then(|| case.bias(rule.at.feature(i)));
            let (error, _) = worst(rule, &got.values, bias);
            row(compared(error), format!("y is the bias where x is constant: {}", list(constant)))
        }
        (_, None) => row(Outcome::Skipped, "the file has no float64 truth of it".into()),
        (_, Some(want)) if want.shape != got.shape => {
            row(compared(f64::INFINITY), format!("shape {:?}, the file's is {:?}", got.shape, want.shape))
        }
        (_, Some(want)) => {
            let (error, beyond) = worst(rule, &got.values, |i| Some(want.values[i]));
            let note = match beyond.contains(&true) {
                true => format!("not representable, so not compared: {} (beyond float32)", list(&beyond)),
                false => String::new(),
            };
            let nothing_left = beyond.iter().all(|beyond| *beyond);
            row(if nothing_left { Outcome::Skipped } else { compared(error) }, note)
        }
    }
}

/// The worst scaled error, and the features that float32 cannot hold the result of.
fn worst(rule: &Rule, got: &[f64], want: impl Fn(usize) -> Option<f64>) -> (f64, Vec<bool>) {
    let mut beyond = vec![false; rule.scale.len()];
    let mut worst = 0.0f64;
    for (i, &got) in got.iter().enumerate() {
        let (c, Some(want)) = (rule.at.feature(i), want(i)) else { continue };
        if rule.beyond[c] || want.is_finite() && want.abs() > f32::MAX.into() {
            beyond[c] = true;
            continue;
        }
        let error = if want.is_finite() {
            let difference = (got - want).abs();
            if difference > 0.0 && rule.scale[c].is_finite() {
                difference / rule.scale[c]
            } else {
                difference
            }
        } else {
            let per_feature = matches!(rule.at, At::Feature);
            let agrees = !got.is_finite() && (per_feature || got.is_nan() == want.is_nan());
            if agrees { 0.0 } else { f64::INFINITY }
        };
        // A NaN result is no small error.
        worst = worst.max(if error.is_nan() { f64::INFINITY } else { error });
    }
    (worst, beyond)
}

/// "features 0, 2"
fn list(marked: &[bool]) -> String {
    let marked: Vec<String> =
        marked.iter().enumerate().filter(|(_, marked)| **marked).map(|(c, _)| c.to_string()).collect();
    match marked.len() {
        0..=8 => format!("features {}", marked.join(", ")),
        n => format!("{n} features from {} on", marked[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::{Buffers, Format, Input, Result};
    use super::super::results::{Evaluation, Gradients, Step, feature_sums};
    use super::super::statistics::{Running, Statistics, normalize};
    use super::*;

    fn read(name: &str) -> Result<Case> {
        let path = format!("{}/tests/data/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Case::read(&std::fs::read(path).map_err(|error| error.to_string())?)
    }

    fn round(values: &[f64]) -> Vec<f32> {
        values.iter().map(|&v| v as f32).collect()
    }

    /// Gradients in float64; `constant` statistics do not depend on x.
    fn gradients(case: &Case, input: &Input, mean: &[f64], var: &[f64], constant: bool) -> Gradients {
        let Some(dy) = &input.dy else { return Gradients::default() };
        let view = case.view(input.batch);
        let hat = |i: usize| {
            let c = view.feature(i);
            (f64::from(input.x[i]) - mean[c]) / (var[c] + case.eps).sqrt()
        };
        let sums = |term: &dyn Fn(usize) -> f64| feature_sums(view, dy.len(), term);
        let dbias = sums(&|i| dy[i].into());
        let dweight = sums(&|i| f64::from(dy[i]) * hat(i));
        let count = view.count() as f64;
        let dx = |i: usize| {
            let c = view.feature(i);
            let through = if constant { 0.0 } else { (dbias[c] + hat(i) * dweight[c]) / count };
            ((f64::from(dy[i]) - through) * case.weight(c) / (var[c] + case.eps).sqrt()) as f32
        };
        let affine = case.weight.is_some();
        Gradients {
            dx: Some((0..dy.len()).map(dx).collect()),
            dweight: affine.then(|| round(&dweight)),
            dbias: affine.then(|| round(&dbias)),
        }
    }

    /// A layer that computes in float64 and rounds at the end.
    fn exact(case: &Case) -> Results {
        let mut results = Results::default();
        let mut running = case.buffers.as_ref().map(Running::new);
        for (k, input) in case.steps.iter().enumerate() {
            let view = case.view(input.batch);
            let batch = Statistics::of(&input.x, view);
            let buffers = running.as_mut().zip(case.buffers.as_ref()).map(|(running, before)| {
                running.update(&batch, view.count(), case);
                let batches = before.batches + k as u32 + 1;
                Buffers { mean: round(&running.mean), var: round(&running.var), batches }
            });
            results.steps.push(Step {
                y: round(&normalize(case, &input.x, view, &batch.mean, &batch.var)),
                batch: Some((round(&batch.mean), round(&batch.var))),
                buffers,
                gradients: gradients(case, input, &batch.mean, &batch.var, false),
            });
        }
        results.evaluation = case.evaluation.as_ref().map(|input| {
            let view = case.view(input.batch);
            let own = Statistics::of(&input.x, view);
            let (mean, var) = running.as_ref().map_or((&own.mean, &own.var), |r| (&r.mean, &r.var));
            Evaluation {
                y: round(&normalize(case, &input.x, view, mean, var)),
                gradients: gradients(case, input, mean, var, running.is_some()),
            }
        });
        results
    }

    /// Errors of a case's tensors after `spoil` has had the exact results.
    fn failures(name: &str, spoil: impl Fn(&Case, &mut Results)) -> Result<Vec<String>> {
        let case = read(name)?;
        let mut results = exact(&case);
        spoil(&case, &mut results);
        let report = compare(&case, &results);
        Ok(report.rows.iter().filter(|row| row.failed()).map(|row| row.tensor.clone()).collect())
    }

    #[test]
    fn exact_results_pass_every_file() -> Result<()> {
        let data = format!("{}/tests/data", env!("CARGO_MANIFEST_DIR"));
        let mut files = 0;
        for folder in ["pytorch", "pytorch-extra", "onnx"] {
            for entry in std::fs::read_dir(format!("{data}/{folder}")).map_err(|e| e.to_string())? {
                let path = entry.map_err(|e| e.to_string())?.path();
                if path.extension().is_none_or(|extension| extension != "safetensors") {
                    continue;
                }
                let case = Case::read(&std::fs::read(&path).map_err(|e| e.to_string())?)?;
                let report = compare(&case, &exact(&case));
                for row in &report.rows {
                    assert!(!row.failed(), "{}: {} {:?} {}", case.name, row.tensor, row.outcome, row.note);
                    let training_only = case.format == Format::Onnx;
                    let compared = row.outcome != Outcome::Skipped || training_only;
                    assert!(compared, "{}: {} {}", case.name, row.tensor, row.note);
                }
                assert!(report.passed(), "{}", case.name);
                files += 1;
            }
        }
        assert!(files > 30 + 9, "{files}");
        Ok(())
    }

    #[test]
    fn the_smallest_error_beyond_the_tolerance_is_found() -> Result<()> {
        let spoil = |factor: f32| {
            failures("pytorch/nchw_4x16x8x8", move |_, results| {
                let y = &mut results.steps[0].y;
                let largest = y.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                y[77] += factor * largest;
            })
        };
        assert_eq!(spoil(3e-7)?, [""; 0]);
        assert_eq!(spoil(7e-7)?, ["y"]);
        Ok(())
    }

    #[test]
    fn a_wrong_convention_is_found() -> Result<()> {
        // The biased variance in the running buffer.
        let biased = failures("pytorch/nc_1000x16", |case, results| {
            let var = Statistics::of(&case.steps[0].x, case.view(1000)).var;
            if let (Some(before), Some(after)) = (&case.buffers, &mut results.steps[0].buffers) {
                for ((after, before), var) in after.var.iter_mut().zip(&before.var).zip(&var) {
                    *after = 0.9 * before + 0.1 * *var as f32;
                }
            }
        });
        assert_eq!(biased?, ["running_var"]);
        // The gradient through constant statistics where they depend on x.
        let frozen = failures("pytorch/nc_17x16", |case, results| {
            let batch = Statistics::of(&case.steps[0].x, case.view(17));
            results.steps[0].gradients = gradients(case, &case.steps[0], &batch.mean, &batch.var, true);
        });
        assert_eq!(frozen?, ["dx"]);
        let count = failures("pytorch/steps5_nc", |_, results| {
            if let Some(buffers) = &mut results.steps[3].buffers {
                buffers.batches += 1;
            }
        });
        assert_eq!(count?, ["num_batches_tracked.3"]);
        Ok(())
    }

    #[test]
    fn the_rounding_of_simple_designs_is_found() -> Result<()> {
        // a·x + b in float32, at mean/std 1e4.
        let failed = failures("pytorch/nc_256x8_large_mean", |case, results| {
            let batch = Statistics::of(&case.steps[0].x, case.view(256));
            for (i, y) in results.steps[0].y.iter_mut().enumerate() {
                let c = i % 8;
                let a = case.weight(c) / (batch.var[c] + case.eps).sqrt();
                *y = case.steps[0].x[i] * a as f32 + (case.bias(c) - a * batch.mean[c]) as f32;
            }
        });
        assert_eq!(failed?, ["y"]);
        // A constant whose mean is off by a rounding.
        let failed = failures("pytorch/nc_17x4_constant", |_, results| {
            (0..17).for_each(|row| results.steps[0].y[row * 4 + 2] += 1e-5);
        });
        assert_eq!(failed?, ["y", "y (constant features)"]);
        Ok(())
    }

    #[test]
    fn non_finite_features_must_stay_so_and_alone() -> Result<()> {
        let finite = failures("pytorch/nc_16x7_nonfinite", |_, results| results.steps[0].y[1] = 0.0);
        assert_eq!(finite?, ["y"]);
        let spread = failures("pytorch/nc_16x7_nonfinite", |_, results| results.steps[0].y[2] = f32::NAN);
        assert_eq!(spread?, ["y"]);
        let infinite =
            failures("pytorch/nc_16x7_nonfinite", |_, results| results.steps[0].y[1] = f32::INFINITY);
        assert_eq!(infinite?, ["y"]);
        let kind = failures("pytorch/nc_16x7_nonfinite", |_, results| {
            if let Some(buffers) = &mut results.steps[0].buffers {
                buffers.mean[3] = f32::NAN;
            }
        });
        assert_eq!(kind?, [""; 0]);
        Ok(())
    }

    #[test]
    fn a_variance_beyond_float32_is_reported_and_alone() -> Result<()> {
        let case = read("pytorch-extra/nc_64x4_overflow")?;
        let mut results = exact(&case);
        (0..64).for_each(|row| results.steps[0].y[row * 4] = f32::NAN);
        let report = compare(&case, &results);
        assert!(report.passed());
        let y = report.rows.iter().find(|row| row.tensor == "y");
        assert!(
            y.is_some_and(|row| row.note.contains("not representable") && row.note.contains("features 0, 2"))
        );
        results.steps[0].y[1] = f32::NAN;
        assert!(!compare(&case, &results).passed());
        Ok(())
    }

    #[test]
    fn what_is_missing_is_named() -> Result<()> {
        let mut case = read("pytorch/nc_3x3")?;
        case.truth.remove("y");
        case.steps[0].dy = None;
        let mut results = exact(&case);
        results.evaluation = None;
        let report = compare(&case, &results);
        let skipped = |name: &str| {
            report
                .rows
                .iter()
                .find(|row| row.tensor == name && row.outcome == Outcome::Skipped)
                .map(|row| &*row.note)
        };
        assert_eq!(skipped("y"), Some("the file has no float64 truth of it"));
        assert_eq!(skipped("y_eval"), Some("the run gave no such result"));
        assert_eq!(skipped("dx"), Some("no result of the layer has this name"));
        assert!(report.passed());
        assert!(!compare(&case, &Results::default()).passed());
        Ok(())
    }
}
