//! Long sums of hard data, on the plans that are chosen by default for a software adapter and for a GPU.

use testkit::close::assert_trained_within;
use testkit::hard::Data;
use testkit::layer::layer_in;
use testkit::profiles::contexts;
use testkit::random::state;
use testkit::scales::{BACKWARD, FORWARD};
use testkit::train::train;
use wgpu_batchnorm::{BatchNormDescriptor, Convention, PlanRequest, Shape, cpu};

/// Rows and planes with packets of 1, 4 and 16; split and, where there are many features, not.
fn shapes() -> [Shape; 7] {
    [
        Shape::rows(8225, 4),
        Shape::rows(8225, 16),
        Shape::rows(100_003, 1),
        Shape::rows(66_001, 3),
        Shape::channels_first(16, 5, &[64, 64]),
        Shape::channels_first(1, 3, &[256, 512]),
        Shape::channels_first(8, 8, &[77, 77]),
    ]
}

/// A layer whose running statistics become the batch's.
fn descriptor(features: u32, eps: f32) -> BatchNormDescriptor<'static> {
    let defaults = BatchNormDescriptor::with_defaults_of(Convention::Burn, features);
    BatchNormDescriptor { momentum: Some(1.0), eps, ..defaults }
}

/// Holds all that a training step and its backward leave against the reference, for a random and for a constant dy.
#[track_caller]
fn check(data: Data, shape: Shape, eps: f32, tolerances: [f64; 2]) {
    let x = data.tensor(shape, 301);
    let (descriptor, before) = (descriptor(shape.features(), eps), state(shape.features(), 302));
    let reference = cpu::Layer::with_state(&descriptor, &before);
    for (name, dy) in
        [("random", Data::Normal.tensor(shape, 303)), ("constant", vec![0.1; shape.elements() as usize])]
    {
        for (profile, context) in contexts() {
            let norm = layer_in(context, &descriptor, &before);
            let got = train(&norm, shape, &x, &dy, PlanRequest::default());
            let what = format!("{data:?} in {shape}, {name} dy, planned for a {profile}");
            assert_trained_within(&what, &got, shape, &reference, [&x, &dy], tolerances);
        }
    }
}

#[test]
fn sorted_ramps() {
    for shape in shapes() {
        check(Data::RampUp, shape, 1e-5, [FORWARD, BACKWARD]);
        check(Data::RampDown, shape, 1e-5, [FORWARD, BACKWARD]);
    }
}

#[test]
fn plateaus_far_apart() {
    for shape in shapes() {
        check(Data::Steps, shape, 1e-5, [FORWARD, BACKWARD]);
    }
}

#[test]
fn sparse_values() {
    for shape in shapes() {
        check(Data::Sparse, shape, 1e-5, [FORWARD, BACKWARD]);
    }
}

#[test]
fn normal_values_with_and_without_a_large_mean() {
    for shape in shapes() {
        check(Data::Normal, shape, 1e-5, [FORWARD, BACKWARD]);
        check(Data::LargeMean, shape, 1e-5, [FORWARD, BACKWARD]);
    }
}

/// float32 has few digits left for what stands beside a value a million times as large; all tensors keep five.
#[test]
fn an_outlier_first_or_in_the_middle_spoils_no_tensor() {
    for shape in shapes() {
        check(Data::OutlierFirst, shape, 1e-5, [1e-5; 2]);
        check(Data::OutlierInTheMiddle, shape, 1e-5, [1e-5; 2]);
    }
}

/// A variance of 10⁻³⁰, whose parts some devices would flush to zero if they were not scaled.
#[test]
fn tiny_variances_of_long_features() {
    for shape in [Shape::rows(8225, 4), Shape::rows(100_003, 1), Shape::channels_first(25, 3, &[7, 47])] {
        check(Data::Tiny, shape, 1e-36, [FORWARD, BACKWARD]);
    }
}
