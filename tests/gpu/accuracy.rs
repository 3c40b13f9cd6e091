//! Long slices of one invocation: sums that rounding spoils where they are not cut, or where a shift is not moved.

use testkit::close::{assert_state, assert_trained};
use testkit::layer::{descriptor, layer};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::{BatchNormDescriptor, PlanRequest, Shape, cpu};

/// As many rows as one invocation may take, each invocation with a feature of its own.
const SHAPE: Shape = Shape::rows(27_000, 8);

fn one_invocation_per_feature() -> PlanRequest {
    "cached rows packet=1 workgroup=4 tile=4".parse().unwrap()
}

/// A first row far from all others: the shift of the first segment is far from them, that of each later one is not.
#[test]
fn the_shift_follows_the_values() {
    let mut x: Vec<f32> = tensor(SHAPE, 601).iter().map(|v| v * 0.1 + 1.0).collect();
    x[..8].fill(1_234_567.0);
    let (d, before) = (descriptor(8), state(8, 602));
    let mut reference = cpu::Layer::with_state(&d, &before);
    cpu::train(&x, SHAPE, &mut reference, &cpu::Options::default());
    let got = train(&layer(&d, &before), SHAPE, &x, &x, one_invocation_per_feature());
    assert_state("an outlier first", &got.state, &reference, 1e-5);
}

/// Equal values, whose running sum would be rounded in the same direction each time.
#[test]
fn no_sum_is_long() {
    let (x, dy) = (tensor(SHAPE, 603), vec![0.1f32; SHAPE.elements() as usize]);
    let (d, before) = (descriptor(8), state(8, 604));
    let reference = cpu::Layer::with_state(&d, &before);
    let got = train(&layer(&d, &before), SHAPE, &x, &dy, one_invocation_per_feature());
    assert_trained("equal gradients", &got, SHAPE, &reference, &x, &dy);
}

/// The cumulative average of several batches, in every packet width.
#[test]
fn momentum_none_in_wide_packets() {
    for (first, second) in [
        (Shape::rows(20, 48), Shape::rows(9, 48)),
        (Shape::rows(20, 20), Shape::rows(9, 20)),
        (Shape::channels_first(3, 5, &[48]), Shape::channels_first(2, 5, &[48])),
    ] {
        let d = BatchNormDescriptor { momentum: None, ..descriptor(first.features()) };
        let before = state(first.features(), 605);
        let view = if first.positions() == 1 { "rows" } else { "planes" };
        for plan in [
            "cached workgroup=32 tile=2",
            "split workgroup=4 tile=2 splits=2",
            "persistent workgroup=32 tile=2 held=4",
        ] {
            let plan: PlanRequest = format!("{plan} {view}").parse().unwrap();
            let norm = layer(&d, &before);
            let mut reference = cpu::Layer::with_state(&d, &before);
            for (step, shape) in [first, second, first].into_iter().enumerate() {
                let (x, dy) = (tensor(shape, 606 + step as u64), tensor(shape, 609));
                let got = train(&norm, shape, &x, &dy, plan);
                assert_trained(&format!("step {step}, [{plan}]"), &got, shape, &reference, &x, &dy);
                cpu::train(&x, shape, &mut reference, &cpu::Options::default());
            }
        }
    }
}
