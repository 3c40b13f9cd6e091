//! Judges the results of a case by its rules.

use super::case::Case;
use super::results::Results;
use super::rule::{Against, At, Rule};
use super::rules::rules;
use super::tensor::Tensor;
use crate::scales::SMALLEST_NORMAL;
use crate::storage::excess;

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
        let error = if rule.at.is_padding(i) {
            if got == 0.0 { 0.0 } else { f64::INFINITY }
        } else if want.is_finite() {
            let difference = excess(got, want, rule.storage);
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
