//! The checks of the well-known interview drill "implement BatchNorm".

use testkit::layer::{descriptor, layer, read_state};
use testkit::random::tensor;
use testkit::train::{evaluate, train};
use wgpu_batchnorm::{PlanRequest, Shape, State};

const SHAPE: (u32, u32) = (256, 12);

fn shape() -> Shape {
    Shape::rows(SHAPE.0, SHAPE.1)
}

fn fresh() -> State {
    let c = SHAPE.1 as usize;
    State {
        weight: vec![1.0; c],
        bias: vec![0.0; c],
        running_mean: vec![0.0; c],
        running_var: vec![1.0; c],
        num_batches_tracked: 0,
    }
}

/// Mean and biased variance per feature, in float64.
fn moments(y: &[f32]) -> Vec<(f64, f64)> {
    let (n, c) = (SHAPE.0 as usize, SHAPE.1 as usize);
    (0..c)
        .map(|j| {
            let values = || (0..n).map(|i| f64::from(y[i * c + j]));
            let mean = values().sum::<f64>() / n as f64;
            (mean, values().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64)
        })
        .collect()
}

#[test]
fn training_output_has_mean_0_and_variance_1() {
    let x = tensor(shape(), 1);
    let got = train(&layer(&descriptor(SHAPE.1), &fresh()), shape(), &x, &x, PlanRequest::default());
    for (mean, var) in moments(&got.y) {
        approx::assert_abs_diff_eq!(mean, 0.0, epsilon = 1e-6);
        approx::assert_abs_diff_eq!(var, 1.0, epsilon = 1e-4); // 1 − eps / var
    }
}

#[test]
fn evaluation_on_wildly_different_data_uses_the_buffers() {
    let norm = layer(&descriptor(SHAPE.1), &fresh());
    let wild: Vec<f32> = tensor(shape(), 2).iter().map(|v| v * 100.0 + 5000.0).collect();
    let y = evaluate(&norm, shape(), &wild, PlanRequest::default());
    // Running mean 0 and variance 1: y is x but for eps, and far from standardized.
    for (y, x) in y.iter().zip(&wild) {
        approx::assert_relative_eq!(*y, *x, max_relative = 1e-5);
    }
    assert!(moments(&y).iter().all(|(mean, _)| *mean > 1000.0));
}

#[test]
fn training_moves_the_buffers() {
    let norm = layer(&descriptor(SHAPE.1), &fresh());
    let x = tensor(shape(), 3);
    let after = train(&norm, shape(), &x, &x, PlanRequest::default()).state;
    let n = f64::from(SHAPE.0);
    for (j, (mean, var)) in moments(&x).into_iter().enumerate() {
        approx::assert_relative_eq!(f64::from(after.running_mean[j]), 0.1 * mean, max_relative = 1e-5);
        let unbiased = 0.9 + 0.1 * var * n / (n - 1.0);
        approx::assert_relative_eq!(f64::from(after.running_var[j]), unbiased, max_relative = 1e-6);
    }
    assert_eq!(after.num_batches_tracked, 1);
}

#[test]
fn gradients_flow_to_weight_and_bias() {
    let (x, dy) = (tensor(shape(), 4), tensor(shape(), 5));
    let got = train(&layer(&descriptor(SHAPE.1), &fresh()), shape(), &x, &dy, PlanRequest::default());
    for gradient in [&got.dweight, &got.dbias] {
        assert!(gradient.iter().all(|g| g.is_finite() && *g != 0.0), "{gradient:?}");
    }
}

#[test]
fn weight_2_and_bias_5_give_variance_4_and_mean_5() {
    let c = SHAPE.1 as usize;
    let state = State { weight: vec![2.0; c], bias: vec![5.0; c], ..fresh() };
    let norm = layer(&descriptor(SHAPE.1), &state);
    let x = tensor(shape(), 6);
    let got = train(&norm, shape(), &x, &x, PlanRequest::default());
    for (mean, var) in moments(&got.y) {
        approx::assert_abs_diff_eq!(mean, 5.0, epsilon = 1e-5);
        approx::assert_abs_diff_eq!(var, 4.0, epsilon = 4e-4);
    }
    assert_eq!(read_state(&norm).weight, state.weight);
}
