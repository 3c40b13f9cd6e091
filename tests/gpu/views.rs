//! Layer, group and instance normalization as docs/views.md composes them, against their definitions in float64.

use testkit::gpu::{context, gpu, values, whole};
use testkit::layer::layer;
use testkit::random::{state, tensor};
use wgpu_batchnorm::{Backward, BatchNorm, BatchNormDescriptor, Shape, State, Statistics, Training};

/// (N, C, positions).
type Size = [usize; 3];

struct Results<T> {
    y: Vec<T>,
    dx: Vec<T>,
    dweight: Vec<T>,
    dbias: Vec<T>,
}

fn defined([n, c, positions]: Size, groups: usize, x: &[f32], dy: &[f32], affine: &State) -> Results<f64> {
    let (size, zeros) = (c / groups * positions, vec![0.0; x.len()]);
    let mut results = Results { y: zeros.clone(), dx: zeros, dweight: vec![0.0; c], dbias: vec![0.0; c] };
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / size as f64;
    for group in 0..n * groups {
        let places = || group * size..(group + 1) * size;
        let channel = |at: usize| at / positions % c;
        let center = mean(&mut places().map(|at| x[at].into()));
        let variance = mean(&mut places().map(|at| (f64::from(x[at]) - center).powi(2)));
        let scale = 1.0 / (variance + f64::from(BatchNormDescriptor::default().eps)).sqrt();
        let hat = |at: usize| (f64::from(x[at]) - center) * scale;
        let g = |at: usize| f64::from(dy[at]) * f64::from(affine.weight[channel(at)]);
        let means = [mean(&mut places().map(g)), mean(&mut places().map(|at| g(at) * hat(at)))];
        for at in places() {
            let c = channel(at);
            results.y[at] = hat(at) * f64::from(affine.weight[c]) + f64::from(affine.bias[c]);
            results.dx[at] = scale * (g(at) - means[0] - hat(at) * means[1]);
            results.dweight[c] += f64::from(dy[at]) * hat(at);
            results.dbias[c] += f64::from(dy[at]);
        }
    }
    results
}

/// The layer that keeps weight and bias.
fn affine_layer(features: usize, affine: &State) -> BatchNorm {
    let descriptor =
        BatchNormDescriptor { features: features as u32, eps: f32::MIN_POSITIVE, ..Default::default() };
    let running =
        State { running_mean: vec![0.0; features], running_var: vec![1.0; features], ..affine.clone() };
    layer(&descriptor, &running)
}

fn composed([n, c, positions]: Size, groups: usize, x: &[f32], dy: &[f32], affine: &State) -> Results<f32> {
    let descriptor = BatchNormDescriptor {
        features: (n * groups) as u32,
        weight: false,
        bias: false,
        track_running_stats: false,
        ..Default::default()
    };
    let standardizing = BatchNorm::new(context(), &descriptor).unwrap();
    let affine = affine_layer(c, affine);
    let [hat, y] = std::array::from_fn(|_| gpu().empty(x.len()));
    let [dweight, dbias] = std::array::from_fn(|_| gpu().empty(c));
    let (x, dy) = (gpu().upload(x), gpu().upload(dy));

    let of = |size: usize| size as u32;
    let by_group = Shape::channels_first(1, of(n * groups), &[of(c / groups), of(positions)]);
    let standardize =
        standardizing.prepare_training(by_group, Training::new(whole(&x), whole(&hat))).unwrap();
    let by_channel = Shape::channels_first(of(n), of(c), &[of(positions)]);
    let frozen = Training::new(whole(&hat), whole(&y)).statistics(Statistics::Running).update_running(false);
    let apply = affine.prepare_training(by_channel, frozen).unwrap();
    let in_place = || Backward::of(whole(&dy)).input_gradient(whole(&dy));
    let gradients = in_place().weight_gradient(whole(&dweight)).bias_gradient(whole(&dbias));
    let backward = affine.prepare_backward(&apply, gradients).unwrap();
    let input_gradient = standardizing.prepare_backward(&standardize, in_place()).unwrap();
    gpu()
        .run(|pass| {
            standardize.record(pass);
            apply.record(pass);
            backward.record(pass);
            input_gradient.record(pass);
        })
        .unwrap();
    Results { y: values(&y), dx: values(&dy), dweight: values(&dweight), dbias: values(&dbias) }
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    let largest = want.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let error =
        std::iter::zip(got, want).fold(0.0f64, |most, (&got, want)| most.max((f64::from(got) - want).abs()));
    assert!(got.len() == want.len() && error <= 1e-6 * largest, "{what}: off by {error:e} of {largest}");
}

#[test]
fn statistics_of_examples_and_groups() {
    for (size, groups) in [
        // Layer, of rows and of images; group; instance.
        ([37, 96, 1], 1),
        ([3, 12, 49], 1),
        ([5, 24, 30], 4),
        ([4, 6, 81], 6),
    ] {
        let [n, c, positions] = size.map(|size| size as u32);
        let shape = Shape::channels_first(n, c, &[positions]);
        let (x, dy, affine) = (tensor(shape, 901), tensor(shape, 902), state(c, 903));
        let (got, want) = (composed(size, groups, &x, &dy, &affine), defined(size, groups, &x, &dy, &affine));
        let case = format!("{size:?}, {groups} groups");
        assert_close(&format!("{case}: y"), &got.y, &want.y);
        assert_close(&format!("{case}: dx"), &got.dx, &want.dx);
        assert_close(&format!("{case}: dweight"), &got.dweight, &want.dweight);
        assert_close(&format!("{case}: dbias"), &got.dbias, &want.dbias);
    }
}
