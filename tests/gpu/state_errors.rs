//! States that no layer can have, and buffers of the caller's that cannot hold a layer's.

use testkit::gpu::{context, gpu, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::random::state;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, BindingError, DescriptorError, LayerBuffers, PrepareError, ReadError,
    Shape, State, StateError, Statistics, Tensor, Training, wgpu,
};

use super::errors::{assert_usable, norm};

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
