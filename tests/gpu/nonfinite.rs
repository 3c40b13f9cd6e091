//! NaN and infinities stay in their feature, and in what depends on them, wherever they come from.

use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::layout::feature_of;
use testkit::plans::without_path;
use testkit::random::{state, tensor};
use testkit::train::{Trained, evaluate, train};
use wgpu_batchnorm::{
    Activation, Backward, Evaluation, Finalize, Guard, PlanRequest, PreActivation, Shape, State,
};

/// Every path, in rows whose packets hold several features and in planes.
fn cases() -> Vec<(Shape, PlanRequest)> {
    let plans = [
        "cached workgroup=32 tile=2",
        "cached workgroup=4 tile=4",
        "split workgroup=4 tile=2 splits=3",
        "persistent workgroup=32 tile=2 held=4",
    ];
    let shapes = [
        (Shape::rows(61, 20), "rows packet=4"),
        (Shape::rows(61, 7), "rows packet=1"),
        (Shape::channels_first(9, 5, &[28]), "planes packet=4"),
    ];
    let with = |(shape, text): (Shape, &str)| plans.map(|p| (shape, format!("{p} {text}").parse().unwrap()));
    shapes.into_iter().flat_map(with).collect()
}

const SPOILERS: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// What a feature got, as bits: y, dx, then dweight, dbias and running statistics.
fn of_feature(shape: Shape, got: &Trained, feature: usize) -> [Vec<u32>; 6] {
    let tensor = |values: &[f32]| {
        let of = values.iter().enumerate().filter(|(i, _)| feature_of(shape, *i) == feature);
        of.map(|(_, v)| v.to_bits()).collect()
    };
    let State { running_mean, running_var, .. } = &got.state;
    let one = |values: &[f32]| bits(&values[feature..=feature]);
    let vectors = [&got.dweight, &got.dbias, running_mean, running_var];
    let [dweight, dbias, mean, var] = vectors.map(|values| one(values));
    [tensor(&got.y), tensor(&got.dx), dweight, dbias, mean, var]
}

const NAMES: [&str; 6] = ["y", "dx", "dweight", "dbias", "running mean", "running variance"];

/// Trains with and without a spoiled value: which of the results of its feature are spoiled is given, all other results
/// have the same bits.
#[track_caller]
fn check(
    what: &str,
    spoiled: [bool; 6],
    feature_at: impl Fn(Shape) -> usize,
    spoil: impl Fn(Shape, f32, &mut [f32], &mut [f32], &mut State),
) {
    for (shape, plan) in cases() {
        let c = shape.features();
        let (x, dy, before) = (tensor(shape, 301), tensor(shape, 302), state(c, 303));
        let feature = feature_at(shape);
        let clean = train(&layer(&descriptor(c), &before), shape, &x, &dy, plan);
        for value in SPOILERS {
            let (mut x, mut dy, mut state) = (x.clone(), dy.clone(), before.clone());
            spoil(shape, value, &mut x, &mut dy, &mut state);
            let got = train(&layer(&descriptor(c), &state), shape, &x, &dy, plan);
            for f in 0..c as usize {
                let (got, clean) = (of_feature(shape, &got, f), of_feature(shape, &clean, f));
                for (k, (got, clean)) in got.iter().zip(&clean).enumerate() {
                    let what = format!("{what} {value}: {shape}, [{plan}], {} of feature {f}", NAMES[k]);
                    match f == feature && spoiled[k] {
                        true => assert!(got.iter().all(|&v| !f32::from_bits(v).is_finite()), "{what}"),
                        false => assert!(got == clean, "{what}"),
                    }
                }
            }
        }
    }
}

/// The first value of all: slices begin with it, and take their first shift from it.
#[test]
fn in_the_first_value_of_x() {
    let spoiled = [true, true, true, false, true, true];
    check("x[0]", spoiled, |_| 0, |_, value, x, _, _| x[0] = value);
}

#[test]
fn in_the_first_value_of_dy() {
    let spoiled = [false, true, true, true, false, false];
    check("dy[0]", spoiled, |_| 0, |_, value, _, dy, _| dy[0] = value);
}

#[test]
fn in_the_last_value_of_dy() {
    let spoiled = [false, true, true, true, false, false];
    let last = |shape: Shape| shape.features() as usize - 1;
    check("last dy", spoiled, last, |_, value, _, dy, _| *dy.last_mut().unwrap() = value);
}

#[test]
fn in_a_weight() {
    let spoiled = [true, true, false, false, false, false];
    check("weight", spoiled, |_| 1, |_, value, _, _, state| state.weight[1] = value);
}

#[test]
fn in_a_bias() {
    let spoiled = [true, false, false, false, false, false];
    check("bias", spoiled, |_| 2, |_, value, _, _, state| state.bias[2] = value);
}

#[test]
fn in_a_running_mean() {
    let spoiled = [false, false, false, false, true, false];
    check("running mean", spoiled, |_| 3, |_, value, _, _, state| state.running_mean[3] = value);
}

/// A layer refuses a variance that is not a number, but may be left with an infinite one.
#[test]
fn in_a_running_variance() {
    let spoiled = [false, false, false, false, false, true];
    let infinite = |_, _: f32, _: &mut [f32], _: &mut [f32], state: &mut State| {
        state.running_var[3] = f32::INFINITY;
    };
    check("running variance", spoiled, |_| 3, infinite);
}

#[test]
fn evaluation_spoils_what_is_of_the_feature() {
    for (shape, plan) in cases() {
        let (c, plan) = (shape.features(), without_path(plan));
        let (x, before) = (tensor(shape, 304), state(c, 305));
        let clean = evaluate(&layer(&descriptor(c), &before), shape, &x, plan);
        for name in ["running mean", "weight", "bias"] {
            for value in SPOILERS {
                let mut state = before.clone();
                match name {
                    "running mean" => state.running_mean[2] = value,
                    "weight" => state.weight[2] = value,
                    _ => state.bias[2] = value,
                }
                let y = evaluate(&layer(&descriptor(c), &state), shape, &x, plan);
                for (i, (y, clean)) in y.iter().zip(&clean).enumerate() {
                    let what = format!("{name} {value}: {shape}, [{plan}], y[{i}]");
                    match feature_of(shape, i) == 2 {
                        true => assert!(!y.is_finite(), "{what}"),
                        false => assert_eq!(y.to_bits(), clean.to_bits(), "{what}"),
                    }
                }
            }
        }
        // The root of an infinite variance is no number to the kernels, where PyTorch has the bias.
        let mut state = before.clone();
        state.running_var[2] = f32::INFINITY;
        let y = evaluate(&layer(&descriptor(c), &state), shape, &x, plan);
        for (i, (y, clean)) in y.iter().zip(&clean).enumerate() {
            let what = format!("infinite variance: {shape}, [{plan}], y[{i}]");
            match feature_of(shape, i) == 2 {
                true => assert!(y.is_nan() || *y == before.bias[2], "{what}"),
                false => assert_eq!(y.to_bits(), clean.to_bits(), "{what}"),
            }
        }
    }
}

/// Every NaN that may stand in an output is not above 0, also one that no arithmetic leaves.
#[test]
fn no_nan_in_an_output_has_a_gradient() {
    let nans = [0x7f80_0001u32, 0x7fc0_0000, 0x7fff_ffff, 0xff80_0001, 0xffc0_0000, 0xffff_ffff];
    let shape = Shape::rows(nans.len() as u32 + 2, 1);
    let norm = layer(&descriptor(1), &state(1, 351));
    let len = shape.elements() as usize;
    let x = gpu().upload(&tensor(shape, 352));
    let dy = gpu().upload(&vec![1.0; len]);
    let [y, dx] = [0; 2].map(|_| gpu().empty(len));
    let forward = Evaluation::new(whole(&x), whole(&y)).activation(Activation::Relu);
    let forward = norm.prepare_evaluation(shape, forward).unwrap();
    let backward = Backward::of(whole(&dy)).pre_activation(PreActivation::SignOfOutput);
    let backward = norm.prepare_backward(&forward, backward.input_gradient(whole(&dx))).unwrap();
    gpu().run(|pass| forward.record(pass)).unwrap();
    let words = [&nans[..], &[0x7f80_0000, 0x0000_0001]].concat();
    gpu().queue.write_buffer(&y, 0, bytemuck::cast_slice(&words));
    gpu().run(|pass| backward.record(pass)).unwrap();
    let dx = values(&dx);
    assert_eq!(dx[..nans.len()], [0.0; 6], "NaN");
    assert!(dx[nans.len()..].iter().all(|dx| *dx > 0.0), "of +Inf and of what is just above 0: {dx:?}");
}

/// A record of the caller's may have a mean that is not finite beside a variance that is, or the other way round.
#[test]
fn one_part_of_a_record_that_is_not_finite_moves_nothing() {
    let before = state(4, 353);
    let norm = layer(&descriptor(4), &before);
    let stride = norm.parameter_stride() as usize;
    let mut record = vec![0.0f32; 4 * stride];
    record[..4].fill(8.0);
    record[stride..stride + 4].copy_from_slice(&[f32::INFINITY, 1.0, f32::NAN, 1.0]);
    record[3 * stride..3 * stride + 4].copy_from_slice(&[1.0, 1.0, 1.0, f32::INFINITY]);
    let record = gpu().upload(&record);
    let finalize = Finalize::new(whole(&record), 1).guard(Guard::SkipNonFinite);
    let finalize = norm.prepare_finalize(finalize).unwrap();
    gpu().run(|pass| finalize.record(pass)).unwrap();
    assert_eq!(pollster::block_on(norm.read_skipped(&gpu().queue)).unwrap(), [1, 0, 1, 1]);
    let after = read_state(&norm);
    for c in 0..4 {
        let stays =
            [after.running_mean[c], after.running_var[c]] == [before.running_mean[c], before.running_var[c]];
        assert_eq!(stays, c != 1, "feature {c}");
    }
}
