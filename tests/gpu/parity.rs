//! The GPU against the CPU reference: forward, running statistics and backward.

use testkit::close::{assert_output, assert_trained};
use testkit::gpu::{context, gpu};
use testkit::layer::{descriptor, layer_in};
use testkit::plans::{all_plans, plans, without_path};
use testkit::random::{state, tensor};
use testkit::scales::FORWARD;
use testkit::train::{evaluate, train};
use wgpu_batchnorm::{
    Context, ContextOptions, Costs, DeviceProfile, GpuCosts, Path, PlanRequest, Shape, cpu,
};

#[track_caller]
fn check(shape: Shape, plans: &[PlanRequest]) {
    check_in(context(), shape, plans);
}

#[track_caller]
fn check_in(context: &Context, shape: Shape, plans: &[PlanRequest]) {
    let descriptor = descriptor(shape.features());
    let before = state(shape.features(), 7);
    let (x, dy) = (tensor(shape, 11), tensor(shape, 13));
    let reference = cpu::Layer::with_state(&descriptor, &before);
    let evaluated = cpu::evaluate(&x, shape, &reference, &cpu::Options::default());
    for &plan in plans {
        let what = format!("{shape}, [{plan}]");
        let norm = layer_in(context, &descriptor, &before);
        let y = evaluate(&norm, shape, &x, without_path(plan));
        assert_output(&format!("{what}: evaluation"), &y, shape, &x, &evaluated, FORWARD);
        if shape.count() > 1 {
            let got = train(&norm, shape, &x, &dy, plan);
            assert_trained(&what, &got, shape, &reference, &x, &dy);
        }
    }
}

/// Every power of two up to 4096 and its neighbours.
fn sizes() -> Vec<u32> {
    let mut sizes: Vec<u32> = (0..=12).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + 1]).collect();
    sizes.retain(|&n| (1..=4096).contains(&n));
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

/// Planes and rows, of lines that packets of 1, 4 and 16 divide.
fn layouts() -> [Shape; 12] {
    [
        Shape::rows(37, 48),
        Shape::rows(130, 20),
        Shape::rows(65, 7),
        Shape::channels_first(6, 5, &[33]),
        Shape::channels_first(6, 5, &[6, 6]),
        Shape::channels_first(3, 21, &[3, 5]),
        Shape::channels_first(2, 130, &[4]),
        Shape::channels_first(3, 4, &[8, 12]),
        Shape::channels_first(2, 3, &[2, 4, 6]),
        Shape::channels_last(3, &[11], 5),
        Shape::channels_last(3, &[5, 7], 32),
        Shape::channels_last(2, &[3, 3, 3], 12),
    ]
}

#[test]
fn each_path_of_every_layout() {
    layouts().into_iter().for_each(|shape| check(shape, &plans(shape)));
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn every_plan_of_every_layout() {
    layouts().into_iter().for_each(|shape| check(shape, &all_plans(shape)));
}

#[test]
fn more_workgroups_than_one_dimension_takes() {
    // Rows of single features, one per workgroup.
    let plan = PlanRequest::new().workgroup(1).packet(1);
    check(Shape::channels_first(2, 70_001, &[2]), &[plan]);
}

#[test]
fn features_longer_than_a_loop_may_be() {
    // Beyond 65,535 iterations for any single invocation.
    check(Shape::channels_first(1, 1, &[2_000_003]), &[PlanRequest::default()]);
    check(Shape::rows(2_000_003, 1), &[PlanRequest::default()]);
    check(Shape::channels_first(2, 1, &[1024, 1024]), &[PlanRequest::default()]);
    let narrow = PlanRequest::new().workgroup(1).packet(1).splits(1);
    check(Shape::rows(300_000, 1), &[narrow]);
}

/// What is planned for a GPU: workgroups of up to 256, few features over many workgroups, merges by many invocations.
#[test]
fn plans_of_a_gpu() {
    let device = &gpu().device;
    let profile = DeviceProfile::of(device).with_costs(Costs::Gpu(GpuCosts::DISCRETE));
    let context = Context::with_options(device, ContextOptions::default().profile(profile));
    for shape in [
        Shape::rows(3, 5),
        Shape::rows(300, 64),
        Shape::rows(5000, 3),
        Shape::rows(20_000, 20),
        Shape::rows(4, 4096),
        Shape::channels_first(2, 300, &[7, 7]),
        Shape::channels_first(16, 130, &[14, 14]),
        Shape::channels_first(32, 3, &[28, 28]),
        Shape::channels_first(1, 3, &[300, 300]),
        Shape::channels_first(1, 2, &[511, 513]),
        Shape::channels_last(8, &[28, 28], 48),
        Shape::channels_last(8, &[28, 28], 7),
    ] {
        let split = PlanRequest::new().path(Path::Split).workgroup(256);
        let requests =
            [PlanRequest::new(), split, split.path(Path::Cached), split.splits(2), split.splits(300)];
        check_in(&context, shape, &requests);
    }
}
