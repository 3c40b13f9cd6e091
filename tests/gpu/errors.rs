//! Every bad input is an error that names what was required and what was given, and leaves the layer usable.

use testkit::close::assert_trained;
use testkit::gpu::{context, gpu, part, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, BindingError, Context, Convention, DescriptorError, Evaluation,
    LayerBuffers, Path, PlanError, PlanRequest, PrepareError, ReadError, Shape, ShapeError, State,
    StateError, Statistics, Tensor, Training, View, wgpu,
};

pub fn norm(features: u32) -> BatchNorm {
    layer(&descriptor(features), &state(features, 81))
}

/// The error of preparing both training and evaluation, which must be the same; the layer works after it.
#[track_caller]
pub fn forward_error(
    norm: &BatchNorm,
    shape: Shape,
    input: wgpu::BufferBinding<'_>,
    output: wgpu::BufferBinding<'_>,
) -> PrepareError {
    let training = norm.prepare_training(shape, Training::new(input.clone(), output.clone())).unwrap_err();
    let evaluation = norm.prepare_evaluation(shape, Evaluation::new(input, output)).unwrap_err();
    assert_eq!(training, evaluation);
    assert!(!training.to_string().is_empty());
    assert_usable(norm);
    training
}

#[track_caller]
pub fn assert_usable(norm: &BatchNorm) {
    let (descriptor, before) = (descriptor(norm.features()), state(norm.features(), 82));
    norm.set_state(&gpu().queue, &before).unwrap();
    let shape = Shape::rows(5, norm.features());
    let (x, dy) = (tensor(shape, 83), tensor(shape, 84));
    let reference = wgpu_batchnorm::cpu::Layer::with_state(&descriptor, &before);
    let got = train(norm, shape, &x, &dy, PlanRequest::default());
    assert_trained("after an error", &got, shape, &reference, &x, &dy);
}

#[test]
fn descriptors() {
    let error = |d: BatchNormDescriptor<'_>| BatchNorm::new(context(), &d).unwrap_err();
    assert_eq!(error(descriptor(0)), DescriptorError::Features { given: 0 });
    for eps in [0.0, -1e-5, f32::NAN, f32::INFINITY, 1e-40] {
        let DescriptorError::Eps { required, given } = error(BatchNormDescriptor { eps, ..descriptor(1) })
        else {
            panic!("eps {eps}");
        };
        assert_eq!((required, given.to_bits()), (f32::MIN_POSITIVE, eps.to_bits()));
    }
    for momentum in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
        for convention in [Convention::PyTorch, Convention::Keras] {
            let d = BatchNormDescriptor { momentum: Some(momentum), convention, ..descriptor(1) };
            assert!(
                matches!(error(d), DescriptorError::Momentum { given } if given.to_bits() == momentum.to_bits())
            );
        }
    }
    let DescriptorError::TooManyFeatures { features, required, limit } = error(descriptor(u32::MAX)) else {
        panic!("features {}", u32::MAX);
    };
    assert!(features == u32::MAX && required > limit);
}

#[test]
fn shapes() {
    let (norm, buffer) = (norm(3), gpu().empty(64));
    let other = gpu().empty(64);
    let error = |shape| forward_error(&norm, shape, whole(&buffer), whole(&other));
    assert_eq!(error(Shape::rows(4, 5)), PrepareError::Shape(ShapeError::Features { required: 3, given: 5 }));
    assert_eq!(error(Shape::rows(4, 0)), PrepareError::Shape(ShapeError::Features { required: 3, given: 0 }));
    let empty = Shape::channels_first(4, 3, &[2, 0]);
    assert_eq!(error(empty), PrepareError::Shape(ShapeError::EmptyAxis { given: empty }));
    let last = Shape::channels_last(4, &[0], 3);
    assert_eq!(error(last), PrepareError::Shape(ShapeError::EmptyAxis { given: last }));
    let huge = Shape::channels_first(u32::MAX, 3, &[u32::MAX, u32::MAX, u32::MAX]);
    assert!(
        matches!(error(huge), PrepareError::Shape(ShapeError::TooManyElements { given: u64::MAX, shape, .. }) if shape == huge)
    );
}

#[test]
fn one_value_per_feature_cannot_train() {
    let (norm, x, y) = (norm(3), gpu().empty(64), gpu().empty(64));
    for shape in [Shape::rows(1, 3), Shape::channels_first(1, 3, &[1, 1]), Shape::channels_last(1, &[1], 3)] {
        let error = norm.prepare_training(shape, Training::new(whole(&x), whole(&y))).unwrap_err();
        assert_eq!(error, PrepareError::OneValuePerFeature { given: 1, shape });
        norm.prepare_evaluation(shape, Evaluation::new(whole(&x), whole(&y))).unwrap();
        // Without running statistics evaluation needs the batch's.
        let untracked = BatchNormDescriptor { track_running_stats: false, ..descriptor(3) };
        let untracked = layer(&untracked, &state(3, 1));
        let error = untracked.prepare_evaluation(shape, Evaluation::new(whole(&x), whole(&y))).unwrap_err();
        assert_eq!(error, PrepareError::OneValuePerFeature { given: 1, shape });
    }
    assert_usable(&norm);
}

#[test]
fn bindings() {
    let norm = norm(8);
    let shape = Shape::rows(32, 8); // 1024 bytes
    let (good, other) = (gpu().empty(1024), gpu().empty(1024));
    let alignment = gpu().device.limits().min_storage_buffer_offset_alignment;

    let small = gpu().empty(255);
    let too_small =
        |tensor, given| PrepareError::Binding(BindingError::TooSmall { tensor, required: 1024, given });
    assert_eq!(forward_error(&norm, shape, whole(&small), whole(&good)), too_small(Tensor::Input, 1020));
    assert_eq!(forward_error(&norm, shape, whole(&good), whole(&small)), too_small(Tensor::Output, 1020));
    assert_eq!(
        forward_error(&norm, shape, part(&good, 0, 512), whole(&other)),
        too_small(Tensor::Input, 512)
    );
    // A size beyond the buffer's end, and an offset beyond it.
    assert_eq!(
        forward_error(&norm, shape, part(&good, 3584, 4096), whole(&other)),
        too_small(Tensor::Input, 512)
    );
    assert_eq!(
        forward_error(&norm, shape, part(&good, 1 << 20, 1024), whole(&other)),
        too_small(Tensor::Input, 0)
    );

    assert_eq!(
        forward_error(&norm, shape, part(&good, 4, 1024), whole(&other)),
        PrepareError::Binding(BindingError::Misaligned {
            tensor: Tensor::Input,
            required: alignment,
            given: 4
        })
    );

    let vertices = gpu().device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4096,
        usage: wgpu::BufferUsages::VERTEX,
        mapped_at_creation: false,
    });
    assert_eq!(
        forward_error(&norm, shape, whole(&good), whole(&vertices)),
        PrepareError::Binding(BindingError::Usage {
            tensor: Tensor::Output,
            required: wgpu::BufferUsages::STORAGE,
            given: wgpu::BufferUsages::VERTEX
        })
    );

    let overlap = PrepareError::Binding(BindingError::Overlap {
        first: Tensor::Input,
        second: Tensor::Output,
        in_place: true,
    });
    assert_eq!(forward_error(&norm, shape, part(&good, 0, 1024), part(&good, 512, 1024)), overlap);
    assert_eq!(forward_error(&norm, shape, part(&good, 256, 1024), part(&good, 0, 1024)), overlap);
}

#[test]
fn gradients_of_an_empty_batch_overlap() {
    let norm = norm(8);
    let (x, vector) = (gpu().empty(64), gpu().empty(8));
    let shape = Shape::rows(0, 8);
    let step = norm.prepare_training(shape, Training::new(whole(&x), whole(&x))).unwrap();
    let backward = Backward::of(whole(&x)).weight_gradient(whole(&vector)).bias_gradient(whole(&vector));
    assert_eq!(
        norm.prepare_backward(&step, backward).unwrap_err(),
        PrepareError::Binding(BindingError::Overlap {
            first: Tensor::WeightGradient,
            second: Tensor::BiasGradient,
            in_place: false
        })
    );
}

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
fn states() {
    let descriptor = BatchNormDescriptor { bias: false, ..descriptor(3) };
    let norm = layer(&descriptor, &state(3, 1));
    let good = cut(&descriptor, &state(3, 2));
    let error = |state: State| norm.set_state(&gpu().queue, &state).unwrap_err();
    assert_eq!(
        error(State { weight: vec![1.0; 2], ..good.clone() }),
        StateError::Length { vector: "weight", required: 3, given: 2 }
    );
    assert_eq!(
        error(State { bias: vec![1.0; 3], ..good.clone() }),
        StateError::Length { vector: "bias", required: 0, given: 3 }
    );
    assert_eq!(
        error(State { running_mean: vec![], ..good.clone() }),
        StateError::Length { vector: "running_mean", required: 3, given: 0 }
    );
    assert_eq!(
        error(State { running_var: vec![1.0; 4], ..good.clone() }),
        StateError::Length { vector: "running_var", required: 3, given: 4 }
    );
    for given in [-1e-9, f32::NEG_INFINITY] {
        let state = State { running_var: vec![0.0, 1.0, given], ..good.clone() };
        assert_eq!(error(state), StateError::Variance { index: 2, given });
    }
    let StateError::Variance { index: 1, given } =
        error(State { running_var: vec![1.0, f32::NAN, -1.0], ..good })
    else {
        panic!("a variance that is not a number");
    };
    assert!(given.is_nan());
    assert_eq!(read_state(&norm), cut(&descriptor, &state(3, 1)));
}

#[test]
fn running_statistics_that_are_not_tracked() {
    let norm = layer(&BatchNormDescriptor { track_running_stats: false, ..descriptor(3) }, &state(3, 1));
    let (x, y) = (gpu().empty(64), gpu().empty(64));
    let training = Training::new(whole(&x), whole(&y)).statistics(Statistics::Running);
    assert_eq!(norm.prepare_training(Shape::rows(4, 3), training).unwrap_err(), PrepareError::NotTracked);
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

#[test]
fn buffers_of_the_callers() {
    let untracked = BatchNormDescriptor { track_running_stats: false, ..descriptor(8) };
    let (short, vector) = (gpu().empty(7), gpu().empty(8));
    let error = |descriptor, buffers| BatchNorm::with_buffers(context(), &descriptor, buffers).unwrap_err();
    assert_eq!(
        error(descriptor(8), LayerBuffers::new().weight(whole(&short))),
        DescriptorError::Binding(BindingError::TooSmall { tensor: Tensor::Weight, required: 32, given: 28 })
    );
    assert_eq!(
        error(untracked, LayerBuffers::new().running_mean(whole(&vector))),
        DescriptorError::NoParameter { tensor: Tensor::RunningMean }
    );

    // One that can be neither written nor read.
    let bare = gpu().device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 32,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let buffers = LayerBuffers::new().bias(whole(&bare));
    let norm = BatchNorm::with_buffers(context(), &descriptor(8), buffers).unwrap();
    assert_eq!(
        norm.set_state(&gpu().queue, &state(8, 85)).unwrap_err(),
        StateError::Usage { vector: Tensor::Bias }
    );
    assert_eq!(
        pollster::block_on(norm.read_state(&gpu().queue)).unwrap_err(),
        ReadError::Usage { vector: Tensor::Bias }
    );

    // What is saved for backward.
    let norm = self::norm(8);
    let (x, y, saved) = (gpu().empty(64), gpu().empty(64), gpu().empty(8));
    let training = Training::new(whole(&x), whole(&y)).saved(whole(&saved));
    assert_eq!(
        norm.prepare_training(Shape::rows(8, 8), training).unwrap_err(),
        PrepareError::Binding(BindingError::TooSmall {
            tensor: Tensor::SavedStatistics,
            required: norm.saved_bytes(),
            given: 32
        })
    );
    assert_usable(&norm);
}
