//! Folded layers compute what the layer on the device computes in evaluation.

use testkit::convolution::Convolution;
use testkit::gpu::{context, gpu, values, whole};
use testkit::layer::descriptor;
use testkit::random::{state, tensor};
use wgpu_batchnorm::fold::{Padding, WeightShape};
use wgpu_batchnorm::{BatchNorm, Evaluation, Shape, State};

const BATCH: usize = 4;
const SIZE: [usize; 3] = [1, 9, 7];

/// A grouped convolution with strides.
const LAYER: Convolution = Convolution {
    outputs: 12,
    inputs: 8,
    groups: 4,
    kernel: [1, 3, 3],
    stride: [1, 2, 1],
    padding: [0; 3],
    transposed: false,
};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// The evaluation on the device.
fn evaluate(x: &[f32], features: usize, size: [usize; 3], state: &State) -> Vec<f32> {
    let norm = BatchNorm::new(context(), &descriptor(features as u32)).unwrap();
    norm.set_state(&gpu().queue, state).unwrap();
    let shape = Shape::channels_first(BATCH as u32, features as u32, &size.map(|size| size as u32));
    let (x, y) = (gpu().upload(x), gpu().empty(x.len()));
    let step = norm.prepare_evaluation(shape, Evaluation::new(whole(&x), whole(&y))).unwrap();
    gpu().run(|pass| step.record(pass)).unwrap();
    values(&y)
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64]) {
    let largest = want.iter().fold(0.0f64, |largest, y| largest.max(y.abs()));
    let error = got.iter().zip(want).fold(0.0f64, |error, (got, want)| error.max((got - want).abs()));
    assert!(got.len() == want.len() && error <= 1e-6 * largest, "off by {error:e} of {largest}");
}

#[test]
fn before_and_after_a_convolution() {
    let shape = Shape::channels_first(BATCH as u32, 8, &SIZE.map(|size| size as u32));
    let x = tensor(shape, 751);
    let weight: Vec<f32> = state(LAYER.weights() as u32, 752).running_mean;
    let bias = state(12, 753).bias;
    let weights = WeightShape::convolution(12, 8, &[3, 3]).groups(4);
    let eps = descriptor(1).eps;
    let run = |x: &[f64], weight: &[f32], bias: &[f32]| LAYER.run(x, BATCH, SIZE, &wide(weight), &wide(bias));

    let after = state(12, 754);
    let y: Vec<f32> = run(&wide(&x), &weight, &bias).iter().map(|y| *y as f32).collect();
    let want = evaluate(&y, 12, LAYER.size(SIZE), &after);
    let folded = after.scale_and_shift(eps).unwrap();
    let folded = folded.fold_into_preceding(&weights, &weight, Some(&bias)).unwrap();
    assert_close(&run(&wide(&x), &folded.weight, &folded.bias), &wide(&want));

    let before = state(8, 755);
    let normalized = evaluate(&x, 8, SIZE, &before);
    let want = run(&wide(&normalized), &weight, &bias);
    let folded = before.scale_and_shift(eps).unwrap();
    let folded = folded.fold_into_following(&weights, Padding::None, &weight, Some(&bias)).unwrap();
    assert_close(&run(&wide(&x), &folded.weight, &folded.bias), &want);
}
