//! Evaluation against the CPU reference.

use testkit::close::{assert_output, max_abs};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::layout::feature_of;
use testkit::plans::elementwise;
use testkit::random::{state, tensor};
use testkit::scales::FORWARD;
use testkit::train::evaluate;
use wgpu_batchnorm::{BatchNormDescriptor, PlanRequest, Shape, cpu};

#[test]
fn running_statistics_normalize_and_nothing_changes() {
    for shape in [
        Shape::rows(1, 5),
        Shape::rows(64, 48),
        Shape::channels_first(1, 3, &[1]),
        Shape::channels_first(3, 4, &[8, 12]),
        Shape::channels_first(3, 7, &[7, 7]),
        Shape::channels_last(3, &[5, 7], 20),
        Shape::rows(1_000_003, 1),
        Shape::channels_first(1, 70_001, &[3]),
    ] {
        let descriptor = descriptor(shape.features());
        let before = state(shape.features(), 3);
        let x = tensor(shape, 17);
        let want =
            cpu::evaluate(&x, shape, &cpu::Layer::with_state(&descriptor, &before), &cpu::Options::default());
        let requests: Vec<_> = match shape.elements() {
            0..10_000 => elementwise(shape),
            _ => vec![PlanRequest::default()],
        };
        for plan in requests {
            let norm = layer(&descriptor, &before);
            let y = evaluate(&norm, shape, &x, plan);
            assert_output(&format!("{shape}, [{plan}]"), &y, shape, &x, &want, FORWARD);
            assert_eq!(read_state(&norm), before, "{shape}, [{plan}]");
        }
    }
}

#[test]
fn without_running_statistics_the_batch_normalizes() {
    let shape = Shape::channels_first(4, 6, &[5, 5]);
    let descriptor = BatchNormDescriptor { track_running_stats: false, ..descriptor(6) };
    let before = state(6, 3);
    let norm = layer(&descriptor, &before);
    let x = tensor(shape, 17);
    let mut reference = cpu::Layer::with_state(&descriptor, &before);
    let want = cpu::train(&x, shape, &mut reference, &cpu::Options::default().update_running(false));
    let y = evaluate(&norm, shape, &x, PlanRequest::default());
    assert_output("batch statistics", &y, shape, &x, &want, FORWARD);
    assert_eq!(read_state(&norm), cut(&descriptor, &before));
}

/// Where y = x̂·weight + bias is nearly 0 everywhere, float32 keeps the error that the terms have.
#[test]
fn evaluation_that_cancels_against_the_bias() {
    for shape in [Shape::rows(1, 48), Shape::rows(3, 7), Shape::channels_first(1, 5, &[3])] {
        let descriptor = descriptor(shape.features());
        let c = shape.features() as usize;
        let mut before = state(shape.features(), 4);
        let x: Vec<f32> =
            (0..shape.elements() as usize).map(|i| 100.0 + feature_of(shape, i) as f32).collect();
        for c in 0..c {
            let invstd = 1.0 / (before.running_var[c] + descriptor.eps).sqrt();
            before.bias[c] = -(100.0 + c as f32 - before.running_mean[c]) * invstd * before.weight[c];
        }
        let want =
            cpu::evaluate(&x, shape, &cpu::Layer::with_state(&descriptor, &before), &cpu::Options::default());
        assert!(max_abs(&want.y) < 1e-3, "required that y cancels");
        for plan in elementwise(shape) {
            let y = evaluate(&layer(&descriptor, &before), shape, &x, plan);
            assert_output(&format!("{shape}, [{plan}]"), &y, shape, &x, &want, FORWARD);
        }
    }
}
