//! The GPU against the CPU reference: forward, running statistics and backward.

use wgpu_batchnorm::{PlanRequest, Shape, cpu};

use crate::support::{assert_trained, descriptor, layer, plans, state, tensor, train};

#[track_caller]
fn check(shape: Shape, plans: &[PlanRequest]) {
    let descriptor = descriptor(shape.features());
    let before = state(shape.features(), 7);
    let (x, dy) = (tensor(shape, 11), tensor(shape, 13));
    let reference = cpu::Layer::with_state(&descriptor, &before);
    for &plan in plans {
        let got = train(&layer(&descriptor, &before), shape, &x, &dy, plan);
        assert_trained(&format!("{shape}, {plan:?}"), &got, shape, &reference, &x, &dy);
    }
}

/// Every power of two up to 4096 and its neighbours.
fn sizes() -> Vec<u32> {
    let mut sizes: Vec<u32> = (0..=12).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + 1]).collect();
    sizes.retain(|&n| (2..=4096).contains(&n));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[test]
fn batch_sizes_of_rows() {
    for batch in sizes() {
        for features in [1, 3, 8, 16] {
            check(Shape::rows(batch, features), &[PlanRequest::default()]);
        }
    }
}

#[test]
fn batch_sizes_of_planes() {
    for batch in sizes() {
        check(Shape::channels_first(batch, 2, &[3, 3]), &[PlanRequest::default()]);
        check(Shape::channels_first(batch, 3, &[4, 2]), &[PlanRequest::default()]);
    }
    // One example has statistics over its positions.
    for positions in sizes() {
        check(Shape::channels_first(1, 3, &[positions]), &[PlanRequest::default()]);
        check(Shape::channels_last(1, &[positions], 4), &[PlanRequest::default()]);
    }
}

#[test]
fn feature_counts() {
    for features in [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 64, 65, 100, 128, 255, 256, 257, 1000, 1024] {
        check(Shape::rows(33, features), &[PlanRequest::default()]);
        check(Shape::channels_first(5, features, &[7]), &[PlanRequest::default()]);
        check(Shape::channels_last(5, &[2, 3], features), &[PlanRequest::default()]);
    }
    check(Shape::rows(3, 40_000), &[PlanRequest::default()]);
    check(Shape::channels_first(2, 40_000, &[3]), &[PlanRequest::default()]);
}

#[test]
fn every_plan_of_every_layout() {
    for shape in [
        Shape::rows(37, 48),
        Shape::rows(130, 20),
        Shape::rows(65, 7),
        Shape::channels_first(6, 5, &[33]),
        Shape::channels_first(6, 5, &[6, 6]),
        Shape::channels_first(3, 4, &[8, 12]),
        Shape::channels_first(2, 3, &[2, 4, 6]),
        Shape::channels_last(3, &[11], 5),
        Shape::channels_last(3, &[5, 7], 32),
        Shape::channels_last(2, &[3, 3, 3], 12),
    ] {
        check(shape, &plans(shape));
    }
}

#[test]
fn more_workgroups_than_one_dimension_takes() {
    // Rows of single features, one per workgroup.
    let plan = PlanRequest { lanes: Some(1), width: Some(1), ..Default::default() };
    check(Shape::channels_first(2, 70_001, &[2]), &[plan]);
}

#[test]
fn features_longer_than_a_loop_may_be() {
    // Beyond 65,535 iterations for any single invocation.
    check(Shape::channels_first(1, 1, &[2_000_003]), &[PlanRequest::default()]);
    check(Shape::rows(2_000_003, 1), &[PlanRequest::default()]);
    check(Shape::channels_first(2, 1, &[1024, 1024]), &[PlanRequest::default()]);
    let narrow = PlanRequest { lanes: Some(1), width: Some(1), chunks: Some(1), ..Default::default() };
    check(Shape::rows(300_000, 1), &[narrow]);
}
