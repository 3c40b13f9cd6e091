//! Every bad input is an error that names what was required and what was given, and leaves the layer usable.

use testkit::close::assert_trained;
use testkit::gpu::{context, gpu, part, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, Context, Convention, DescriptorError, Evaluation, Path,
    PlanRequest, PrepareError, Shape, State, StateError, Statistics, Tensor, Training, TrainingStep, View,
    wgpu,
};

fn norm(features: u32) -> BatchNorm {
    layer(&descriptor(features), &state(features, 81))
}

/// The error of preparing both training and evaluation, which must be the same; the layer works after it.
#[track_caller]
fn forward_error(
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
fn assert_usable(norm: &BatchNorm) {
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
    assert_eq!(error(Shape::rows(4, 5)), PrepareError::Features { required: 3, given: 5 });
    assert_eq!(error(Shape::rows(4, 0)), PrepareError::Features { required: 3, given: 0 });
    let empty = Shape::channels_first(4, 3, &[2, 0]);
    assert_eq!(error(empty), PrepareError::EmptyAxis { given: empty });
    let last = Shape::channels_last(4, &[0], 3);
    assert_eq!(error(last), PrepareError::EmptyAxis { given: last });
    let huge = Shape::channels_first(u32::MAX, 3, &[u32::MAX, u32::MAX, u32::MAX]);
    assert!(
        matches!(error(huge), PrepareError::TooManyElements { given: u64::MAX, shape, .. } if shape == huge)
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
    let too_small = |tensor, given| PrepareError::TooSmall { tensor, required: 1024, given };
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
        PrepareError::Misaligned { tensor: Tensor::Input, required: alignment, given: 4 }
    );

    let vertices = gpu().device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4096,
        usage: wgpu::BufferUsages::VERTEX,
        mapped_at_creation: false,
    });
    assert_eq!(
        forward_error(&norm, shape, whole(&good), whole(&vertices)),
        PrepareError::Usage {
            tensor: Tensor::Output,
            required: wgpu::BufferUsages::STORAGE,
            given: wgpu::BufferUsages::VERTEX
        }
    );

    let overlap = PrepareError::Overlap { first: Tensor::Input, second: Tensor::Output, in_place: true };
    assert_eq!(forward_error(&norm, shape, part(&good, 0, 1024), part(&good, 512, 1024)), overlap);
    assert_eq!(forward_error(&norm, shape, part(&good, 256, 1024), part(&good, 0, 1024)), overlap);
}

#[test]
fn the_layers_own_buffers() {
    let norm = norm(8);
    let Step { shape, x, dy, step } = step(&norm);
    let own = norm.weight().unwrap();
    let backward = Backward { weight_gradient: Some(own.clone()), ..Backward::new(whole(&x), whole(&dy)) };
    assert_eq!(
        norm.prepare_backward(shape, &step, backward).unwrap_err(),
        PrepareError::LayersOwn { tensor: Tensor::WeightGradient }
    );
    assert_eq!(
        forward_error(&norm, shape, own, whole(&x)),
        PrepareError::LayersOwn { tensor: Tensor::Input }
    );
    let counts = norm.num_batches_tracked().unwrap();
    assert_eq!(
        forward_error(&norm, shape, whole(&x), counts),
        PrepareError::LayersOwn { tensor: Tensor::Output }
    );
}

#[test]
fn gradients_of_an_empty_batch_overlap() {
    let norm = norm(8);
    let (x, vector) = (gpu().empty(64), gpu().empty(8));
    let shape = Shape::rows(0, 8);
    let step = norm.prepare_training(shape, Training::new(whole(&x), whole(&x))).unwrap();
    let backward = Backward {
        weight_gradient: Some(whole(&vector)),
        bias_gradient: Some(whole(&vector)),
        ..Backward::new(whole(&x), whole(&x))
    };
    assert_eq!(
        norm.prepare_backward(shape, &step, backward).unwrap_err(),
        PrepareError::Overlap {
            first: Tensor::WeightGradient,
            second: Tensor::BiasGradient,
            in_place: false
        }
    );
}

#[test]
fn more_workgroups_than_the_device_takes() {
    let limits = wgpu::Limits { max_compute_workgroups_per_dimension: 2, ..wgpu::Limits::default() };
    let gpu = Gpu::with_limits(|_| limits).unwrap();
    let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(7)).unwrap();
    let (x, y) = (gpu.empty(126), gpu.empty(126));
    let shape = Shape::channels_first(2, 7, &[9]);
    let plan = PlanRequest { lanes: Some(1), ..Default::default() };
    let training = Training { plan, ..Training::new(whole(&x), whole(&y)) };
    let error = norm.prepare_training(shape, training).unwrap_err();
    assert_eq!(
        error,
        PrepareError::DeviceLimit { limit: "max_compute_workgroups_per_dimension", required: 4, given: 2 }
    );
}

#[test]
fn a_device_of_small_limits() {
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 1 << 20, ..wgpu::Limits::default() };
    let gpu = Gpu::with_limits(|_| limits).unwrap();
    let context = Context::new(&gpu.device);
    let norm = BatchNorm::new(&context, &descriptor(2)).unwrap();
    let (x, y) = (gpu.empty(1 << 19), gpu.empty(1 << 19));
    let shape = Shape::rows(1 << 18, 2);
    let error = norm.prepare_training(shape, Training::new(whole(&x), whole(&y))).unwrap_err();
    assert_eq!(
        error,
        PrepareError::BindingLimit { tensor: Tensor::Input, required: 2 << 20, limit: 1 << 20 }
    );
    let error = BatchNorm::new(&context, &descriptor(1 << 20)).unwrap_err();
    assert_eq!(
        error,
        DescriptorError::TooManyFeatures { features: 1 << 20, required: (16 << 20) + 4, limit: 1 << 20 }
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
        error(State { running_var: vec![1.0; 4], ..good }),
        StateError::Length { vector: "running_var", required: 3, given: 4 }
    );
    assert_eq!(read_state(&norm), cut(&descriptor, &state(3, 1)));
}

#[test]
fn running_statistics_that_are_not_tracked() {
    let norm = layer(&BatchNormDescriptor { track_running_stats: false, ..descriptor(3) }, &state(3, 1));
    let (x, y) = (gpu().empty(64), gpu().empty(64));
    let training = Training { statistics: Statistics::Running, ..Training::new(whole(&x), whole(&y)) };
    assert_eq!(norm.prepare_training(Shape::rows(4, 3), training).unwrap_err(), PrepareError::NotTracked);
}

#[test]
fn plans() {
    let norm = norm(6);
    let (x, y) = (gpu().empty(256), gpu().empty(256));
    let error = |shape, plan| {
        let training = Training { plan, ..Training::new(whole(&x), whole(&y)) };
        match norm.prepare_training(shape, training).unwrap_err() {
            PrepareError::Plan { required, given } => (required, given),
            other => panic!("{other}"),
        }
    };
    let request = PlanRequest::default();
    let shape = Shape::channels_first(4, 6, &[9]);
    for plan in [
        PlanRequest { width: Some(4), ..request },
        PlanRequest { width: Some(3), ..request },
        PlanRequest { lanes: Some(3), ..request },
        PlanRequest { lanes: Some(0), ..request },
        PlanRequest { lanes: Some(1 << 20), ..request },
        PlanRequest { chunks: Some(0), ..request },
        PlanRequest { path: Some(Path::Reduce), ..request },
        PlanRequest { view: Some(View::Rows), ..request },
        PlanRequest { path: Some(Path::Direct), ..request },
        PlanRequest { path: Some(Path::Resident), chunks: Some(2), ..request },
    ] {
        let (required, given) = error(shape, plan);
        assert!(!required.is_empty() && !given.is_empty(), "{plan:?}");
    }
    let evaluation = Evaluation {
        plan: PlanRequest { path: Some(Path::Split), ..request },
        ..Evaluation::new(whole(&x), whole(&y))
    };
    assert!(matches!(norm.prepare_evaluation(shape, evaluation), Err(PrepareError::Plan { .. })));
    assert_usable(&norm);

    // More chunks than an invocation may merge.
    let norm = self::norm(1);
    let long = gpu().empty(70_000);
    let plan = PlanRequest { path: Some(Path::Split), lanes: Some(1), chunks: Some(70_000), ..request };
    let training = Training { plan, ..Training::new(whole(&long), whole(&long)) };
    let error = norm.prepare_training(Shape::rows(70_000, 1), training).unwrap_err();
    assert_eq!(error, PrepareError::Plan { required: "at most 65,000 chunks", given: "70000".into() });
}

struct Step {
    shape: Shape,
    x: wgpu::Buffer,
    dy: wgpu::Buffer,
    step: TrainingStep,
}

fn step(norm: &BatchNorm) -> Step {
    let shape = Shape::rows(64, norm.features());
    let values = tensor(shape, 1);
    let (x, y, dy) = (gpu().upload(&values), gpu().empty(values.len()), gpu().upload(&values));
    let step = norm.prepare_training(shape, Training::new(whole(&x), whole(&y))).unwrap();
    Step { shape, x, dy, step }
}

#[test]
fn backward_of_another_step() {
    let (norm, other) = (norm(8), norm(8));
    let Step { shape, x, dy, step } = step(&norm);
    let backward = || Backward::new(whole(&x), whole(&dy));
    let smaller = Shape::rows(32, 8);
    assert_eq!(
        norm.prepare_backward(smaller, &step, backward()).unwrap_err(),
        PrepareError::OtherShape { required: shape, given: smaller }
    );
    assert_eq!(other.prepare_backward(shape, &step, backward()).unwrap_err(), PrepareError::OtherLayer);
    assert_usable(&norm);
}

#[test]
fn backward_of_a_step_in_place() {
    let norm = norm(8);
    let Step { shape, x, dy, .. } = step(&norm);
    let step = norm.prepare_training(shape, Training::new(whole(&x), whole(&x))).unwrap();
    let error = norm.prepare_backward(shape, &step, Backward::new(whole(&x), whole(&dy))).unwrap_err();
    assert_eq!(error, PrepareError::Overwritten);
    // A copy of x is fine.
    let copy = gpu().empty(512);
    norm.prepare_backward(shape, &step, Backward::new(whole(&copy), whole(&dy))).unwrap();
}

#[test]
fn backward_bindings() {
    let norm = norm(8);
    let Step { shape, x, dy, step } = step(&norm);
    let bytes = shape.bytes();
    let (dx, vector, big) = (gpu().empty(512), gpu().empty(8), gpu().empty(4096));
    let error = |backward: Backward<'_>| norm.prepare_backward(shape, &step, backward).unwrap_err();
    let base = || Backward::new(whole(&x), whole(&dy));

    let short = gpu().empty(7);
    let too_small = |tensor, required, given| PrepareError::TooSmall { tensor, required, given };
    assert_eq!(
        error(Backward { weight_gradient: Some(whole(&short)), ..base() }),
        too_small(Tensor::WeightGradient, 32, 28)
    );
    assert_eq!(
        error(Backward { bias_gradient: Some(whole(&short)), ..base() }),
        too_small(Tensor::BiasGradient, 32, 28)
    );
    assert_eq!(
        error(Backward { input_gradient: Some(whole(&vector)), ..base() }),
        too_small(Tensor::InputGradient, bytes, 32)
    );
    assert_eq!(error(Backward::new(whole(&vector), whole(&dy))), too_small(Tensor::Input, bytes, 32));
    assert_eq!(error(Backward::new(whole(&x), whole(&vector))), too_small(Tensor::OutputGradient, bytes, 32));

    let overlap = |first, second, in_place| PrepareError::Overlap { first, second, in_place };
    assert_eq!(
        error(Backward { input_gradient: Some(whole(&x)), ..base() }),
        overlap(Tensor::Input, Tensor::InputGradient, false)
    );
    assert_eq!(
        error(Backward {
            input_gradient: Some(part(&big, 256, bytes)),
            ..Backward::new(whole(&x), part(&big, 0, bytes))
        }),
        overlap(Tensor::OutputGradient, Tensor::InputGradient, true)
    );
    assert_eq!(
        error(Backward {
            weight_gradient: Some(whole(&vector)),
            bias_gradient: Some(whole(&vector)),
            ..base()
        }),
        overlap(Tensor::WeightGradient, Tensor::BiasGradient, false)
    );
    assert_eq!(
        error(Backward {
            input_gradient: Some(whole(&dx)),
            bias_gradient: Some(part(&dx, 256, 32)),
            ..base()
        }),
        overlap(Tensor::InputGradient, Tensor::BiasGradient, false)
    );
    assert_usable(&norm);

    let plain = layer(&BatchNormDescriptor { weight: false, bias: false, ..descriptor(8) }, &state(8, 1));
    let Step { shape, x, dy, step } = self::step(&plain);
    let backward = Backward { bias_gradient: Some(whole(&vector)), ..Backward::new(whole(&x), whole(&dy)) };
    assert_eq!(
        plain.prepare_backward(shape, &step, backward).unwrap_err(),
        PrepareError::NoParameter { tensor: Tensor::BiasGradient }
    );
}
