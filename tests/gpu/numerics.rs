//! Hard numbers: large means, constants, outliers, tiny and huge variances, NaN and infinities.

use testkit::close::{assert_output, assert_state, assert_trained};
use testkit::layer::{descriptor, layer};
use testkit::layout::feature_of;
use testkit::plans::plans;
use testkit::random::{state, tensor};
use testkit::scales;
use testkit::scales::BACKWARD;
use testkit::train::{evaluate, train};
use wgpu_batchnorm::{PlanRequest, Shape, State, cpu};

/// Data made of the standard tensor, feature by feature.
fn mapped(shape: Shape, f: impl Fn(usize, f32) -> f32) -> Vec<f32> {
    tensor(shape, 61).iter().enumerate().map(|(i, v)| f(feature_of(shape, i), *v)).collect()
}

/// Holds the data against the reference on every plan, at the ordinary tolerances.
#[track_caller]
fn check(what: &str, shape: Shape, x: &[f32]) {
    let descriptor = descriptor(shape.features());
    let (before, dy) = (state(shape.features(), 62), tensor(shape, 63));
    let reference = cpu::Layer::with_state(&descriptor, &before);
    for plan in plans(shape) {
        let got = train(&layer(&descriptor, &before), shape, x, &dy, plan);
        assert_trained(&format!("{what}: {shape}, [{plan}]"), &got, shape, &reference, x, &dy);
    }
}

fn shapes() -> [Shape; 3] {
    [Shape::rows(500, 8), Shape::channels_first(20, 3, &[5, 5]), Shape::channels_first(20, 3, &[4, 8])]
}

#[test]
fn mean_10_000_times_the_spread() {
    for shape in shapes() {
        check("1e4", shape, &mapped(shape, |c, v| v + if c % 2 == 0 { 1e4 } else { -1e4 }));
    }
}

#[test]
fn mean_a_million_times_the_spread() {
    for shape in shapes() {
        check("1e6", shape, &mapped(shape, |c, v| v + if c % 2 == 0 { 1e6 } else { -1e6 }));
    }
}

#[test]
fn tiny_variance() {
    for shape in shapes() {
        check("1e-3", shape, &mapped(shape, |_, v| v * 1e-3));
        check("1e-6 beside 1", shape, &mapped(shape, |_, v| 1.0 + v * 1e-6));
        check("1e-10", shape, &mapped(shape, |_, v| v * 1e-10));
    }
}

/// Sums of many small squares and a few large ones, which round the same way again and again.
#[test]
fn features_that_are_zero_but_for_a_few() {
    for shape in
        [Shape::rows(60, 16), Shape::rows(60, 5), Shape::rows(240, 4), Shape::channels_first(60, 3, &[3, 3])]
    {
        for period in [59, 31, 17] {
            let x: Vec<f32> =
                (0..shape.elements() as usize).map(|i| if i % period == 3 { 0.9375 } else { 0.0 }).collect();
            check("few", shape, &x);
        }
    }
}

#[test]
fn squares_whose_sum_overflows() {
    for shape in shapes() {
        check("1e18", shape, &mapped(shape, |_, v| v * 1e18));
        // The variance is just within float32, the sum of squares far beyond.
        check("8e18", shape, &mapped(shape, |_, v| v * 8e18));
    }
}

#[test]
fn constant_features_give_the_bias() {
    const VALUES: [f32; 8] = [0.1, 0.0, -12345.678, 1e6 + 0.0625, 3.0e-5, 1e10, -0.3, 7.0];
    for shape in shapes() {
        let x: Vec<f32> = (0..shape.elements() as usize).map(|i| VALUES[feature_of(shape, i)]).collect();
        let before = state(shape.features(), 64);
        for plan in plans(shape) {
            let got = train(&layer(&descriptor(shape.features()), &before), shape, &x, &x, plan);
            for (i, y) in got.y.iter().enumerate() {
                let c = feature_of(shape, i);
                let (bias, weight) = (f64::from(before.bias[c]), f64::from(before.weight[c]));
                let error = (f64::from(*y) - bias).abs();
                let scale = scales::constant_output(weight, bias);
                assert!(error <= BACKWARD * scale, "{shape}, [{plan}]: {y} for {bias}");
            }
        }
    }
}

#[test]
fn an_outlier_as_the_first_sample_spoils_nothing() {
    let tolerance = 1e-5;
    for (shape, plans) in [
        (Shape::rows(1000, 3), plans(Shape::rows(1000, 3))),
        (Shape::channels_first(10, 2, &[10, 10]), plans(Shape::channels_first(10, 2, &[10, 10]))),
        (Shape::rows(1_000_000, 1), vec![PlanRequest::default()]),
        (Shape::rows(1_000_001, 1), vec![PlanRequest::default()]),
        (Shape::channels_first(1, 1, &[1000, 1000]), vec![PlanRequest::default()]),
        (Shape::channels_first(1, 1, &[999, 999]), vec![PlanRequest::default()]),
    ] {
        let mut x = mapped(shape, |_, v| v);
        let mut seen = vec![false; shape.features() as usize];
        for (i, x) in x.iter_mut().enumerate() {
            if !std::mem::replace(&mut seen[feature_of(shape, i)], true) {
                *x = 1e6;
            }
        }
        let descriptor = descriptor(shape.features());
        let before = state(shape.features(), 65);
        for plan in plans {
            let mut reference = cpu::Layer::with_state(&descriptor, &before);
            let want = cpu::train(&x, shape, &mut reference, &cpu::Options::default());
            let got = train(&layer(&descriptor, &before), shape, &x, &x, plan);
            let what = format!("{shape}, [{plan}]");
            assert_output(&what, &got.y, shape, &x, &want, tolerance);
            assert_state(&what, &got.state, &reference, tolerance);
        }
    }
}

/// The bits of one feature's values.
fn feature_bits(shape: Shape, values: &[f32], feature: usize) -> Vec<u32> {
    let of = values.iter().enumerate().filter(|(i, _)| feature_of(shape, *i) == feature);
    of.map(|(_, v)| v.to_bits()).collect()
}

#[test]
fn nan_and_infinity_stay_in_their_feature() {
    for shape in [Shape::rows(70, 16), Shape::rows(70, 6), Shape::channels_first(7, 5, &[4, 4])] {
        let clean = tensor(shape, 66);
        let dy = tensor(shape, 67);
        let before = state(shape.features(), 68);
        let last = clean.len() - 1;
        let spoiled_feature = feature_of(shape, last);
        for (place, value) in [(last, f32::NAN), (last, f32::INFINITY), (last, f32::NEG_INFINITY)] {
            let mut x = clean.clone();
            x[place] = value;
            for plan in plans(shape) {
                let run =
                    |x: &[f32]| train(&layer(&descriptor(shape.features()), &before), shape, x, &dy, plan);
                let (spoiled, whole) = (run(&x), run(&clean));
                for feature in 0..shape.features() as usize {
                    let what = format!("{value} in {shape}, [{plan}], feature {feature}");
                    if feature == spoiled_feature {
                        for v in feature_bits(shape, &spoiled.y, feature) {
                            assert!(f32::from_bits(v).is_nan(), "{what}: y {}", f32::from_bits(v));
                        }
                        for v in feature_bits(shape, &spoiled.dx, feature) {
                            assert!(f32::from_bits(v).is_nan(), "{what}: dx {}", f32::from_bits(v));
                        }
                        assert!(!spoiled.state.running_mean[feature].is_finite(), "{what}");
                        assert!(!spoiled.state.running_var[feature].is_finite(), "{what}");
                        assert!(spoiled.dweight[feature].is_nan(), "{what}");
                        assert_eq!(spoiled.dbias[feature], whole.dbias[feature], "{what}");
                        continue;
                    }
                    for (a, b) in [(&spoiled.y, &whole.y), (&spoiled.dx, &whole.dx)] {
                        assert!(feature_bits(shape, a, feature) == feature_bits(shape, b, feature), "{what}");
                    }
                    let statistics = |state: &State| {
                        (state.running_mean[feature].to_bits(), state.running_var[feature].to_bits())
                    };
                    assert_eq!(statistics(&spoiled.state), statistics(&whole.state), "{what}");
                    assert_eq!(spoiled.dweight[feature], whole.dweight[feature], "{what}");
                    assert_eq!(spoiled.dbias[feature], whole.dbias[feature], "{what}");
                }
            }
        }
    }
}

#[test]
fn evaluation_keeps_nan_in_its_element() {
    let shape = Shape::rows(16, 12);
    let clean = tensor(shape, 69);
    let norm = layer(&descriptor(12), &state(12, 70));
    let want = evaluate(&norm, shape, &clean, PlanRequest::default());
    let mut x = clean;
    x[5] = f32::NAN;
    let got = evaluate(&norm, shape, &x, PlanRequest::default());
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!(if i == 5 { got.is_nan() } else { got.to_bits() == want.to_bits() }, "{i}: {got} {want}");
    }
}

/// Float32 denormals, which a device may take for 0: beside eps they make no difference to y, and running statistics
/// move by less than the smallest normal number.
#[test]
fn denormals_are_at_worst_zero() {
    for shape in shapes() {
        let x = mapped(shape, |_, v| v * 1e-39);
        let descriptor = descriptor(shape.features());
        let c = shape.features() as usize;
        let zero = State {
            weight: vec![1.0; c],
            bias: vec![0.0; c],
            running_mean: vec![0.0; c],
            running_var: vec![0.0; c],
            num_batches_tracked: 0,
        };
        for plan in plans(shape) {
            let got = train(&layer(&descriptor, &zero), shape, &x, &x, plan);
            // |x| / sqrt(eps) of the largest.
            assert!(got.y.iter().all(|y| y.abs() <= 1e-35), "{shape}, [{plan}]");
            assert!(got.state.running_mean.iter().all(|m| m.abs() <= f32::MIN_POSITIVE), "{shape}, [{plan}]");
            assert!(
                got.state.running_var.iter().all(|v| (0.0..=f32::MIN_POSITIVE).contains(v)),
                "{shape}, [{plan}]"
            );
        }
    }
}
