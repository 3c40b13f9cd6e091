//! Folded layers compute what the two layers compute: against the twin of evaluation and a naive convolution.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use testkit::convolution::Convolution;
use testkit::layer::descriptor;
use testkit::random::state;
use wgpu_batchnorm::fold::{FoldError, Folded, Padding, ScaleAndShift, WeightShape};
use wgpu_batchnorm::{BatchNormDescriptor, Shape, State, cpu};

const EPS: f32 = 1e-3;

const BASE: Convolution = Convolution {
    outputs: 6,
    inputs: 4,
    groups: 1,
    kernel: [1; 3],
    stride: [1; 3],
    padding: [0; 3],
    transposed: false,
};

/// Layers with the size of their input: linear, one to three axes, groups, depthwise, strides.
fn layers() -> Vec<(Convolution, [usize; 3])> {
    vec![
        (BASE, [1, 1, 1]),
        (Convolution { kernel: [1, 1, 3], ..BASE }, [1, 1, 9]),
        (Convolution { kernel: [1, 3, 2], stride: [1, 2, 1], ..BASE }, [1, 7, 6]),
        (Convolution { kernel: [2, 3, 2], stride: [2, 1, 2], groups: 2, ..BASE }, [5, 4, 5]),
        (Convolution { outputs: 8, groups: 4, kernel: [1, 3, 3], ..BASE }, [1, 5, 5]),
    ]
}

fn padded(convolution: Convolution) -> Convolution {
    let padding = convolution.kernel.map(|kernel| kernel / 2);
    Convolution { padding, ..convolution }
}

fn transposed(convolution: Convolution) -> Convolution {
    Convolution { transposed: true, ..convolution }
}

fn shape_of(layer: &Convolution) -> WeightShape {
    let shape = match layer.transposed {
        false => WeightShape::convolution(layer.outputs, layer.inputs, &layer.kernel),
        true => WeightShape::transposed_convolution(layer.inputs, layer.outputs, &layer.kernel),
    };
    shape.groups(layer.groups)
}

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// States of a batch norm: with weight and bias, without either, with a negative weight and a tiny variance.
fn states(features: usize) -> [State; 4] {
    let full = state(features as u32, 91);
    let mut odd = full.clone();
    (odd.weight[0], odd.running_var[1]) = (-0.75, 1e-6);
    let bare = State { weight: vec![], bias: vec![], ..full.clone() };
    [State { bias: vec![], ..full.clone() }, full, odd, bare]
}

fn evaluate(x: &[f32], batch: usize, features: usize, state: &State) -> Vec<f64> {
    let descriptor = BatchNormDescriptor { eps: EPS, ..descriptor(features as u32) };
    let positions = x.len() / batch / features;
    let shape = Shape::channels_first(batch as u32, features as u32, &[positions as u32]);
    cpu::evaluate(x, shape, &cpu::Layer::with_state(&descriptor, state), &cpu::Options::default()).y
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0f64, |largest, y| largest.max(y.abs()));
    let error = got.iter().zip(want).fold(0.0f64, |error, (got, want)| error.max((got - want).abs()));
    assert!(largest > 0.1 && error <= 1e-6 * largest, "{what}: off by {error:e} of {largest}");
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// PyTorch's weight `[a, b, kernel]` as `[kernel, b, a]`, and back.
fn other_order(weight: &[f32], a: usize, b: usize) -> Vec<f32> {
    let taps = weight.len() / (a * b);
    let mut other = vec![0.0; weight.len()];
    for (index, value) in weight.iter().enumerate() {
        let (i, j, tap) = (index / taps / b, index / taps % b, index % taps);
        other[(tap * b + j) * a + i] = *value;
    }
    other
}

#[test]
fn into_the_layer_before() {
    const BATCH: usize = 3;
    let kinds: [fn(Convolution) -> Convolution; 4] = [|l| l, padded, transposed, |l| transposed(padded(l))];
    for (layer, size) in layers() {
        for layer in kinds.map(|kind| kind(layer)) {
            let x = wide(&random(BATCH * layer.inputs * size.iter().product::<usize>(), 92));
            let (weight, bias) = (random(layer.weights(), 93), random(layer.outputs, 94));
            for state in states(layer.outputs) {
                for bias in [Some(&*bias), None] {
                    let what = format!("{layer:?}, bias {}, {state:?}", bias.is_some());
                    let zeros = vec![0.0; layer.outputs];
                    let y = layer.run(&x, BATCH, size, &wide(&weight), &bias.map_or(zeros, wide));
                    let want = evaluate(&narrow(&y), BATCH, layer.outputs, &state);
                    let affine = state.scale_and_shift(EPS).unwrap();
                    let folded = affine.fold_into_preceding(&shape_of(&layer), &weight, bias).unwrap();
                    let got = layer.run(&x, BATCH, size, &wide(&folded.weight), &wide(&folded.bias));
                    assert_close(&what, &got, &want);
                    assert_other_order(&layer, &weight, &folded, |shape, weight| {
                        affine.fold_into_preceding(shape, weight, bias)
                    });
                }
            }
        }
    }
}

/// The same weights with their axes in the other order fold to the same values.
#[track_caller]
fn assert_other_order(
    layer: &Convolution,
    weight: &[f32],
    folded: &Folded,
    fold: impl Fn(&WeightShape, &[f32]) -> Result<Folded, FoldError>,
) {
    let (a, b) = match layer.transposed {
        false => (layer.outputs, layer.inputs / layer.groups),
        true => (layer.inputs, layer.outputs / layer.groups),
    };
    let other = fold(&shape_of(layer).outputs_last(), &other_order(weight, a, b)).unwrap();
    assert_eq!(other.weight, other_order(&folded.weight, a, b));
    for (other, bias) in other.bias.iter().zip(&folded.bias) {
        approx::assert_relative_eq!(other, bias, max_relative = 1e-6);
    }
}

#[test]
fn into_the_layer_after() {
    const BATCH: usize = 3;
    for (layer, size) in layers() {
        let x = random(BATCH * layer.inputs * size.iter().product::<usize>(), 95);
        let (weight, bias) = (random(layer.weights(), 96), random(layer.outputs, 97));
        for state in states(layer.inputs) {
            for bias in [Some(&*bias), None] {
                let what = format!("{layer:?}, bias {}, {state:?}", bias.is_some());
                let bias64 = bias.map_or(vec![0.0; layer.outputs], wide);
                let normalized = evaluate(&x, BATCH, layer.inputs, &state);
                let want = layer.run(&normalized, BATCH, size, &wide(&weight), &bias64);
                let affine = state.scale_and_shift(EPS).unwrap();
                let shape = shape_of(&layer);
                let folded = affine.fold_into_following(&shape, Padding::None, &weight, bias).unwrap();
                let got = layer.run(&wide(&x), BATCH, size, &wide(&folded.weight), &wide(&folded.bias));
                assert_close(&what, &got, &want);
                assert_eq!(
                    affine.fold_into_following(&shape, Padding::Input, &weight, bias).unwrap(),
                    folded
                );
                assert_other_order(&layer, &weight, &folded, |shape, weight| {
                    affine.fold_into_following(shape, Padding::None, weight, bias)
                });
                assert_eq!(
                    affine.fold_into_following(&shape, Padding::Zeros, &weight, bias).unwrap_err(),
                    FoldError::Padding
                );
                assert_eq!(
                    affine
                        .fold_into_following(&shape_of(&transposed(layer)), Padding::None, &weight, bias)
                        .unwrap_err(),
                    FoldError::Transposed
                );
            }
        }
    }
}

#[test]
fn without_shifts_padding_and_transposed_layers_take_a_batch_norm_before_them() {
    const BATCH: usize = 2;
    for (layer, size) in layers() {
        for layer in [padded(layer), transposed(layer)] {
            let c = layer.inputs;
            let state = State { bias: vec![], running_mean: vec![0.0; c], ..state(c as u32, 98) };
            let x = random(BATCH * c * size.iter().product::<usize>(), 99);
            let (weight, bias) = (random(layer.weights(), 100), random(layer.outputs, 101));
            let normalized = evaluate(&x, BATCH, c, &state);
            let want = layer.run(&normalized, BATCH, size, &wide(&weight), &wide(&bias));
            let affine = state.scale_and_shift(EPS).unwrap();
            let folded =
                affine.fold_into_following(&shape_of(&layer), Padding::Zeros, &weight, Some(&bias)).unwrap();
            let got = layer.run(&wide(&x), BATCH, size, &wide(&folded.weight), &wide(&folded.bias));
            assert_close(&format!("{layer:?}"), &got, &want);
        }
    }
}

#[test]
fn where_padding_makes_a_difference() {
    // What is refused above would be wrong: the shift is missing beyond the edge.
    let (layer, size) = (padded(layers()[1].0), layers()[1].1);
    let state = state(4, 102);
    let affine = state.scale_and_shift(EPS).unwrap();
    let (x, weight) = (random(4 * 9, 103), random(layer.weights(), 104));
    let normalized = evaluate(&x, 1, 4, &state);
    let want = layer.run(&normalized, 1, size, &wide(&weight), &[0.0; 6]);
    let folded = affine.fold_into_following(&shape_of(&layer), Padding::None, &weight, None).unwrap();
    let got = layer.run(&wide(&x), 1, size, &wide(&folded.weight), &wide(&folded.bias));
    let off = |i: usize| (got[i] - want[i]).abs();
    assert!(off(4) < 1e-6 && off(0) > 1e-2 && off(8) > 1e-2, "{} {} {}", off(4), off(0), off(8));
}

#[test]
fn what_cannot_be_folded() {
    let good = state(4, 105);
    let scale = |change: &dyn Fn(&mut State), eps| {
        let mut state = good.clone();
        change(&mut state);
        state.scale_and_shift(eps).unwrap_err()
    };
    assert_eq!(State::default().scale_and_shift(EPS).unwrap_err(), FoldError::NotTracked);
    assert_eq!(scale(&|_| (), -1.0), FoldError::Eps { given: -1.0 });
    assert!(matches!(scale(&|_| (), f32::NAN), FoldError::Eps { .. }));
    let length = |tensor, given| FoldError::Length { tensor, required: 4, given };
    assert_eq!(scale(&|state| state.running_mean.clear(), EPS), length("running_mean", 0));
    assert_eq!(scale(&|state| state.running_var.truncate(2), EPS), length("running_var", 2));
    assert_eq!(scale(&|state| state.weight.truncate(3), EPS), length("weight", 3));
    assert_eq!(scale(&|state| state.bias.truncate(1), EPS), length("bias", 1));
    let infinite = |tensor, feature, error: FoldError| {
        let same = matches!(&error, FoldError::NotFinite { tensor: t, feature: f, .. } if (*t, *f) == (tensor, feature));
        assert!(same, "{error}");
    };
    infinite("scale", 2, scale(&|state| state.running_var[2] = 0.0, 0.0));
    infinite("scale", 1, scale(&|state| state.running_var[1] = -1.0, EPS));
    infinite("scale", 0, scale(&|state| state.weight[0] = f32::NAN, EPS));
    infinite("shift", 3, scale(&|state| state.running_mean[3] = f32::INFINITY, EPS));

    let affine = good.scale_and_shift(EPS).unwrap();
    let fold = |shape: WeightShape, weight: usize, bias: usize| {
        affine.fold_into_preceding(&shape, &vec![1.0; weight], Some(&vec![1.0; bias])).unwrap_err()
    };
    let shape = WeightShape::convolution(4, 6, &[3, 3]);
    assert_eq!((shape.elements(), shape.outputs(), shape.inputs()), (216, 4, 6));
    let length = |tensor, required, given| FoldError::Length { tensor, required, given };
    assert_eq!(fold(shape, 215, 4), length("weight", 216, 215));
    assert_eq!(fold(shape, 216, 5), length("bias", 4, 5));
    assert_eq!(
        fold(WeightShape::linear(6, 4), 24, 6),
        FoldError::Features { channels: "outputs", required: 6, given: 4 }
    );
    assert_eq!(
        affine.fold_into_following(&shape, Padding::None, &[1.0; 216], None).unwrap_err(),
        FoldError::Features { channels: "inputs", required: 6, given: 4 }
    );
    for groups in [0, 3, 4, usize::MAX] {
        assert_eq!(fold(shape.groups(groups), 216, 4), FoldError::Groups { groups, outputs: 4, inputs: 6 });
    }
    assert_eq!(
        fold(WeightShape::convolution(4, 6, &[usize::MAX, 3]), 216, 4),
        length("weight", usize::MAX, 216)
    );
    assert_eq!(fold(WeightShape::convolution(4, 0, &[3]), 1, 4), length("weight", 0, 1));

    let huge = ScaleAndShift { scale: vec![1.0, 1e30], shift: vec![0.0; 2] };
    let shape = WeightShape::linear(2, 1);
    infinite("weight", 1, huge.fold_into_preceding(&shape, &[1e10, 1e10], None).unwrap_err());
    infinite("bias", 1, huge.fold_into_preceding(&shape, &[1.0, 1.0], Some(&[0.0, 1e10])).unwrap_err());
    let uneven = ScaleAndShift { scale: vec![1.0; 2], shift: vec![] };
    assert_eq!(uneven.fold_into_preceding(&shape, &[1.0; 2], None).unwrap_err(), length("shift", 2, 0));
}
