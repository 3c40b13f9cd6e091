//! Evaluation against the CPU reference.

use wgpu_batchnorm::{BatchNormDescriptor, PlanRequest, Shape, Statistics, cpu};

use crate::support::{
    FORWARD, assert_close, cut, descriptor, evaluate, layer, max_abs, plans, read_state, state, tensor,
};

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
        let (want, _) = cpu::evaluate(&x, shape, &cpu::Layer::with_state(&descriptor, &before));
        let scale = max_abs(&want);
        let requests: Vec<_> = match shape.elements() {
            0..10_000 => plans(shape).into_iter().map(|plan| PlanRequest { path: None, ..plan }).collect(),
            _ => vec![PlanRequest::default()],
        };
        for plan in requests {
            let norm = layer(&descriptor, &before);
            let y = evaluate(&norm, shape, &x, plan);
            assert_close(&format!("{shape}, {plan:?}"), &y, &want, |_| scale, FORWARD);
            assert_eq!(read_state(&norm), before, "{shape}, {plan:?}");
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
    let (want, _) = cpu::resident(&x, shape, &mut reference, Statistics::Batch, false);
    let scale = max_abs(&want);
    assert_close("y", &evaluate(&norm, shape, &x, PlanRequest::default()), &want, |_| scale, FORWARD);
    assert_eq!(read_state(&norm), cut(&descriptor, &before));
}
