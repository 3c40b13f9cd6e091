//! Values from all over float32: each exponent with the mantissas at its ends, as constant features and in pairs.

use testkit::close::assert_trained;
use testkit::layer::{descriptor, layer};
use testkit::plans::plans;
use testkit::random::state;
use testkit::train::train;
use wgpu_batchnorm::{BatchNormDescriptor, PlanRequest, Shape, State, cpu};

const MANTISSAS: [u32; 5] = [0, 1, 0x40_0000, 0x7f_fffe, 0x7f_ffff];

fn both_signs(exponent: u32, mantissa: u32) -> [f32; 2] {
    [0, 1 << 31].map(|sign| f32::from_bits(sign | exponent << 23 | mantissa))
}

/// A layer whose running statistics become the batch's.
fn follower(features: usize) -> (BatchNormDescriptor<'static>, State) {
    let descriptor = BatchNormDescriptor { momentum: Some(1.0), ..descriptor(features as u32) };
    (descriptor, state(features as u32, 951))
}

/// x of rows, in which each of these columns is a feature.
fn columns(rows: &[Vec<f32>]) -> (Shape, Vec<f32>) {
    (Shape::rows(rows.len() as u32, rows[0].len() as u32), rows.concat())
}

#[test]
fn constant_features_of_every_exponent() {
    let every =
        (0..256).flat_map(|exponent| MANTISSAS.map(|mantissa| both_signs(exponent, mantissa)).concat());
    let values: Vec<f32> = every.collect();
    let (descriptor, before) = follower(values.len());
    for count in [2, 37] {
        let (shape, x) = columns(&vec![values.clone(); count]);
        for plan in plans(shape) {
            let got = train(&layer(&descriptor, &before), shape, &x, &vec![0.0; x.len()], plan);
            let State { running_mean, running_var, bias, .. } = &got.state;
            for (feature, &value) in values.iter().enumerate() {
                let what = format!("{value:e} in {shape}, [{plan}]");
                let (mean, var, y) = (running_mean[feature], running_var[feature], got.y[feature]);
                if value.is_finite() {
                    // A device may take a denormal for zero.
                    let flushed = value.is_subnormal() && mean == 0.0;
                    assert!(mean == value || flushed, "{what}: mean {mean:e}");
                    assert!(var == 0.0 && y == bias[feature], "{what}: variance {var:e}, y {y}");
                } else {
                    assert!(!mean.is_finite() && var.is_nan() && y.is_nan(), "{what}: {mean}, {var}, {y}");
                }
            }
        }
    }
}

/// Whether the unbiased variance of a pair is as large as is promised, or zero.
fn is_promised([a, b]: [f32; 2]) -> bool {
    let variance = (f64::from(a) - f64::from(b)).powi(2) / 2.0;
    variance == 0.0 || (1e-30..f64::from(f32::MAX)).contains(&variance)
}

#[test]
fn pairs_of_every_scale() {
    let exponents = [0, 1, 2, 30, 64, 96, 120, 126, 127, 128, 150, 189, 190, 191, 192, 220, 253, 254];
    let values: Vec<f32> = exponents
        .iter()
        .flat_map(|&e| [0, 1, 0x7f_ffff].map(|mantissa| both_signs(e, mantissa)).concat())
        .collect();
    let pairs = values.iter().flat_map(|&a| values.iter().map(move |&b| [a, b]));
    let (promised, others): (Vec<_>, Vec<_>) = pairs.partition(|&pair| is_promised(pair));
    assert!(promised.len() > 5000 && others.len() > 1000, "{} and {}", promised.len(), others.len());

    let rows = |pairs: &[[f32; 2]]| [0, 1].map(|row| pairs.iter().map(|pair| pair[row]).collect::<Vec<_>>());
    let (descriptor, before) = follower(promised.len());
    let (shape, x) = columns(&rows(&promised));
    let dy: Vec<f32> = (0..x.len()).map(|i| (i % 7) as f32 - 3.0).collect();
    let reference = cpu::Layer::with_state(&descriptor, &before);
    for plan in plans(shape) {
        let got = train(&layer(&descriptor, &before), shape, &x, &dy, plan);
        assert_trained(&format!("[{plan}]"), &got, shape, &reference, &x, &dy);
    }

    let (descriptor, before) = follower(others.len());
    let (shape, x) = columns(&rows(&others));
    let got = train(&layer(&descriptor, &before), shape, &x, &vec![0.0; x.len()], PlanRequest::new());
    for (feature, pair) in others.iter().enumerate() {
        let variance = (f64::from(pair[0]) - f64::from(pair[1])).powi(2) / 2.0;
        let (var, y) = (got.state.running_var[feature], got.y[feature]);
        match variance < 1.0 {
            // Beside eps it makes no difference.
            true => assert!(
                f64::from(var) <= 2e-30 && (y - before.bias[feature]).abs() < 1e-6,
                "{pair:?}: {var}, {y}"
            ),
            false => assert!(!var.is_finite(), "{pair:?}: {var}"),
        }
    }
}
