//! Every bad input is an error that names what was required and what was given, and leaves the layer usable.

use testkit::close::assert_trained;
use testkit::gpu::{context, gpu, part, whole};
use testkit::layer::{descriptor, layer};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, BindingError, Convention, DescriptorError, Evaluation,
    PlanRequest, PrepareError, Shape, ShapeError, Tensor, Training, wgpu,
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
