//! The tensors' values, and whether what was computed from them is right.

use testkit::bench::shapes::{Case, Work};

const EPS: f64 = 1e-5;
/// More than float32 with plain sums is off by.
const TOLERANCE: f64 = 1e-3;

/// x in memory's order: a mean that is not zero, and about as spread as the bench's.
pub fn values(case: &Case) -> Vec<f32> {
    // A multiplicative hash, for values without a pattern that any layout could meet.
    let noise = |i: u32| (i.wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1 << 24) as f32;
    (0..case.elements() as u32).map(|i| 0.5 + 7.0 * (noise(i ^ (i >> 15)) - 0.5)).collect()
}

/// Says what is wrong with a fresh layer's result, given in the order N, C, spatial axes.
pub fn wrong(case: &Case, work: Work, result: &[f32]) -> Option<String> {
    let (what, off) = match work {
        // Of y the mean is 0 and the variance 1.
        Work::TrainingForward => {
            let moments = moments(case, result);
            ("y's mean or variance", worst(moments.iter().flat_map(|&[mean, var]| [mean, var - 1.0])))
        }
        // The running statistics are still 0 and 1: y is x, but for eps.
        Work::Evaluation => {
            ("y's square", worst([square(result) * (1.0 + EPS) / square(&values(case)) - 1.0]))
        }
        // A dy of ones is a mean that the layer takes off: dx is 0.
        _ => ("dx", worst(result.iter().map(|&dx| dx.into()))),
    };
    (off > TOLERANCE || off.is_nan()).then(|| format!("{what} is off by {off:.1e}"))
}

fn worst(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(f64::abs).fold(0.0, |a, b| if a > b { a } else { b })
}

fn square(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

/// Of each feature: mean and variance.
fn moments(case: &Case, y: &[f32]) -> Vec<[f64; 2]> {
    let count = (y.len() / case.features()) as f64;
    let mut sums = vec![[0.0, 0.0]; case.features()];
    for (plane, c) in y.chunks(case.plane()).zip((0..case.features()).cycle()) {
        sums[c][0] += plane.iter().map(|&y| f64::from(y)).sum::<f64>();
        sums[c][1] += square(plane);
    }
    let of_sums = |[sum, square]: [f64; 2]| [sum / count, square / count - (sum / count).powi(2)];
    sums.into_iter().map(of_sums).collect()
}
