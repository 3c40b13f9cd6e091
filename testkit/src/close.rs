//! Results of the layer held against the CPU reference, by the rule of [`scales`].

use wgpu_batchnorm::{Shape, State, StorageType, cpu};

use crate::scales::{self, BACKWARD, FORWARD, Pass};
use crate::storage::excess;
use crate::train::Trained;

/// Fails where a value is further from the truth than the tolerance times the scale.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64], scale: impl Fn(usize) -> f64, tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(got) - want).abs();
        // Where nothing is added up the scale is 0, and the result is exact. A NaN is a NaN.
        let same = difference == 0.0 || (want.is_nan() && got.is_nan());
        let error = if same { 0.0 } else { difference / scale(i) };
        assert!(
            error <= tolerance,
            "{what}[{i}]: {got} for {want}, scaled error {error:.2e} > {tolerance:e}"
        );
    }
}

/// Fails where a stored value is further from the truth than half the spacing of its type beside the tolerance times the
/// scale: where it is not the truth rounded once, as far as float32 can tell.
#[track_caller]
pub fn assert_stored(
    what: &str,
    storage: StorageType,
    got: &[f32],
    want: &[f64],
    scale: impl Fn(usize) -> f64,
    tolerance: f64,
) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let (excess, allowed) = (excess(got.into(), want, storage), tolerance * scale(i));
        assert!(
            excess <= allowed || (want.is_nan() && got.is_nan()),
            "{what}[{i}]: {got} for {want}, {excess:e} beyond rounding, {allowed:e} allowed"
        );
    }
}

/// The largest magnitude, above 0.
pub fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(f64::MIN_POSITIVE, |max, v| max.max(v.abs()))
}

/// Holds y against what the CPU reference returned for the same x.
#[track_caller]
pub fn assert_output(what: &str, got: &[f32], shape: Shape, x: &[f32], want: &cpu::Forward, tolerance: f64) {
    let cpu::Forward { y, saved, .. } = want;
    let scale = Pass::of(x, shape, saved).output(y, |i| i);
    let feature = feature_of_all(shape);
    assert_close(&format!("{what}: y"), got, y, |i| scale[feature(i)], tolerance);
}

/// Holds dx, where there is one, dweight and dbias against the CPU reference.
#[track_caller]
pub fn assert_gradients(
    what: &str,
    [dx, dweight, dbias]: [Option<&[f32]>; 3],
    shape: Shape,
    [x, dy]: [&[f32]; 2],
    saved: &[cpu::Saved],
    options: &cpu::Options<'_>,
) {
    assert_gradients_within(what, [dx, dweight, dbias], shape, [x, dy], saved, options, BACKWARD);
}

/// The same with a tolerance other than the ordinary one.
#[track_caller]
fn assert_gradients_within(
    what: &str,
    [dx, dweight, dbias]: [Option<&[f32]>; 3],
    shape: Shape,
    [x, dy]: [&[f32]; 2],
    saved: &[cpu::Saved],
    options: &cpu::Options<'_>,
    tolerance: f64,
) {
    let cpu::Gradients { dx: want, dz, sums } = cpu::backward(x, dy, shape, saved, options);
    let scales = Pass::of(x, shape, saved).gradients(&dz);
    if let Some(dx) = dx {
        let feature = feature_of_all(shape);
        assert_close(&format!("{what}: dx"), dx, &want, |i| scales.dx[feature(i)], tolerance);
    }
    let (want_dbias, want_dweight): (Vec<f64>, Vec<f64>) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
    if let Some(dweight) = dweight {
        assert_close(&format!("{what}: dweight"), dweight, &want_dweight, |c| scales.dweight[c], tolerance);
    }
    if let Some(dbias) = dbias {
        assert_close(&format!("{what}: dbias"), dbias, &want_dbias, |c| scales.dbias[c], tolerance);
    }
}

fn feature_of_all(shape: Shape) -> impl Fn(usize) -> usize {
    let layout = crate::layout::Layout::of(shape);
    move |i| layout.feature(i)
}

/// Holds a training step and its backward against the CPU reference.
#[track_caller]
pub fn assert_trained(what: &str, got: &Trained, shape: Shape, before: &cpu::Layer, x: &[f32], dy: &[f32]) {
    assert_trained_within(what, got, shape, before, [x, dy], [FORWARD, BACKWARD]);
}

/// The same with tolerances other than the ordinary ones, of forward and backward.
#[track_caller]
pub fn assert_trained_within(
    what: &str,
    got: &Trained,
    shape: Shape,
    before: &cpu::Layer,
    [x, dy]: [&[f32]; 2],
    [forward_tolerance, backward_tolerance]: [f64; 2],
) {
    let mut after = before.clone();
    let has = before.descriptor;
    let options = cpu::Options::default();
    let forward = cpu::train(x, shape, &mut after, &options);
    assert_output(what, &got.y, shape, x, &forward, forward_tolerance);
    assert_state(what, &got.state, &after, forward_tolerance);
    let dweight = has.weight.then_some(&got.dweight[..]);
    let dbias = has.bias.then_some(&got.dbias[..]);
    let gradients = [Some(&got.dx[..]), dweight, dbias];
    let (saved, tolerance) = (&forward.saved, backward_tolerance);
    assert_gradients_within(what, gradients, shape, [x, dy], saved, &options, tolerance);
}

/// Holds the running statistics against the CPU reference.
#[track_caller]
pub fn assert_state(what: &str, got: &State, want: &cpu::Layer, tolerance: f64) {
    if want.descriptor.track_running_stats {
        let (mean, var) = (&want.running_mean, &want.running_var);
        let scale = |c: usize| scales::mean(mean[c], var[c]);
        assert_close(&format!("{what}: running_mean"), &got.running_mean, mean, scale, tolerance);
        let scale = |c: usize| scales::variance(var[c], 0.0);
        assert_close(&format!("{what}: running_var"), &got.running_var, var, scale, tolerance);
    }
    assert_eq!(got.num_batches_tracked, want.num_batches_tracked, "{what}: num_batches_tracked");
}
