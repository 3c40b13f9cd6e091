//! Plans that are impossible, and more than a device takes.

use testkit::gpu::{gpu, whole};
use testkit::layer::descriptor;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    BatchNorm, Context, DescriptorError, Evaluation, Path, PlanError, PlanRequest, PrepareError, Shape,
    Training, View, wgpu,
};

use super::errors::{assert_usable, norm};

#[test]
fn more_workgroups_than_the_device_takes() {
    let limits = wgpu::Limits { max_compute_workgroups_per_dimension: 2, ..wgpu::Limits::default() };
    let gpu = Gpu::with_limits(|_| limits).unwrap();
    let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(7)).unwrap();
    let (x, y) = (gpu.empty(126), gpu.empty(126));
    let shape = Shape::channels_first(2, 7, &[9]);
    let plan = PlanRequest::new().workgroup(1);
    let training = Training::new(whole(&x), whole(&y)).plan(plan);
    let error = norm.prepare_training(shape, training).unwrap_err();
    assert_eq!(
        error,
        PrepareError::Plan(PlanError::DeviceLimit {
            limit: "max_compute_workgroups_per_dimension",
            required: 4,
            given: 2
        })
    );
}

#[test]
fn a_device_of_small_limits() {
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 1 << 20, ..wgpu::Limits::default() };
    let gpu = Gpu::with_limits(|_| limits).unwrap();
    let context = Context::new(&gpu.device);
    let norm = BatchNorm::new(&context, &descriptor(2)).unwrap();
    let (x, y) = (gpu.empty(1 << 19), gpu.empty(1 << 19));
    let training = || Training::new(whole(&x), whole(&y));
    // Two examples may be too large for one binding, one may not.
    assert!(norm.prepare_training(Shape::channels_first(2, 2, &[1 << 17]), training()).is_ok());
    let error = norm.prepare_training(Shape::channels_first(1, 2, &[1 << 18]), training()).unwrap_err();
    assert_eq!(error, PrepareError::Plan(PlanError::ExampleTooLarge { required: 2 << 20, limit: 1 << 20 }));
    let error = BatchNorm::new(&context, &descriptor(1 << 20)).unwrap_err();
    assert_eq!(
        error,
        DescriptorError::TooManyFeatures { features: 1 << 20, required: 24 << 20, limit: 1 << 20 }
    );
}

#[test]
fn plans() {
    let norm = norm(6);
    let (x, y) = (gpu().empty(256), gpu().empty(256));
    let error = |shape, plan| {
        let training = Training::new(whole(&x), whole(&y)).plan(plan);
        match norm.prepare_training(shape, training).unwrap_err() {
            PrepareError::Plan(PlanError::Request { required, given }) => (required, given),
            other => panic!("{other}"),
        }
    };
    let request = PlanRequest::new();
    let held = |held| {
        let mut request = request.path(Path::Persistent);
        request.held = Some(held);
        request
    };
    let shape = Shape::channels_first(4, 6, &[9]);
    for plan in [
        request.packet(4),
        request.packet(3),
        request.workgroup(3),
        request.workgroup(0),
        request.workgroup(1 << 20),
        request.tile(0),
        request.tile(3),
        request.workgroup(8).tile(16),
        request.splits(0),
        held(3),
        held(8).workgroup(1),
        request.path(Path::Reduce),
        request.view(View::Rows),
        request.path(Path::Elementwise),
        request.path(Path::Cached).splits(2),
        request.path(Path::Persistent).splits(2),
    ] {
        let (required, given) = error(shape, plan);
        assert!(!required.is_empty() && !given.is_empty(), "[{plan}]");
    }
    let evaluation = Evaluation::new(whole(&x), whole(&y)).plan(request.path(Path::Split));
    assert!(matches!(
        norm.prepare_evaluation(shape, evaluation),
        Err(PrepareError::Plan(PlanError::Request { .. }))
    ));
    assert_usable(&norm);

    // More splits than an invocation may merge.
    let norm = self::norm(1);
    let long = gpu().empty(70_000);
    let plan = request.path(Path::Split).workgroup(1).splits(70_000);
    let training = Training::new(whole(&long), whole(&long)).plan(plan);
    let error = norm.prepare_training(Shape::rows(70_000, 1), training).unwrap_err();
    assert_eq!(
        error,
        PrepareError::Plan(PlanError::Request { required: "at most 60,000 splits", given: "70000".into() })
    );
}
