//! Every bad input of a backward, or of what rebinds a step, is an error that names what was required and what was given.

use testkit::gpu::{gpu, part, whole};
use testkit::layer::{descriptor, layer};
use testkit::random::{state, tensor};
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, BindingError, ForwardStep, PrepareError, Shape, Statistics,
    Tensor, Training, wgpu,
};

use crate::errors::{assert_usable, forward_error, norm};

struct Step {
    shape: Shape,
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    dy: wgpu::Buffer,
    step: ForwardStep,
}

fn step(norm: &BatchNorm) -> Step {
    let shape = Shape::rows(64, norm.features());
    let values = tensor(shape, 1);
    let (x, y, dy) = (gpu().upload(&values), gpu().empty(values.len()), gpu().upload(&values));
    let step = norm.prepare_training(shape, Training::new(whole(&x), whole(&y))).unwrap();
    Step { shape, x, y, dy, step }
}

#[test]
fn backward_of_another_step() {
    let (norm, other) = (norm(8), norm(8));
    let Step { dy, step, .. } = step(&norm);
    assert_eq!(
        other.prepare_backward(&step, Backward::of(whole(&dy))).unwrap_err(),
        PrepareError::OtherLayer
    );
    assert_usable(&norm);
    assert_usable(&other);
}

#[test]
fn backward_of_a_step_in_place() {
    let norm = norm(8);
    let Step { shape, x, dy, .. } = step(&norm);
    let step = norm.prepare_training(shape, Training::new(whole(&x), whole(&x))).unwrap();
    let vector = gpu().empty(8);
    let backward = || Backward::of(whole(&dy)).weight_gradient(whole(&vector));
    let error = |backward| norm.prepare_backward(&step, backward).unwrap_err();
    assert_eq!(error(backward()), PrepareError::Overwritten { tensor: Tensor::Input });
    assert_eq!(error(backward().input(whole(&x))), PrepareError::Overwritten { tensor: Tensor::Input });
    // A copy of x is fine.
    let copy = gpu().empty(512);
    norm.prepare_backward(&step, backward().input(whole(&copy))).unwrap();
}

#[test]
fn backward_with_the_forward_steps_tensors_mixed_up() {
    let norm = norm(8);
    let Step { shape, x, y, dy, step } = step(&norm);
    let (dx, vector) = (gpu().empty(512), gpu().empty(8));
    let mixed_up = |tensor, given| PrepareError::ForwardsTensor { tensor, given };
    let backward = |dy| Backward::of(dy).weight_gradient(whole(&vector));
    let error = |backward| norm.prepare_backward(&step, backward).unwrap_err();
    assert_eq!(error(backward(whole(&dy)).input(whole(&y))), mixed_up(Tensor::Input, Tensor::Output));
    assert_eq!(error(backward(whole(&x))), mixed_up(Tensor::OutputGradient, Tensor::Input));
    // Where x is not read, and what does not matter is not bound.
    let frozen = Training::new(whole(&x), whole(&y)).statistics(Statistics::Running).update_running(false);
    let frozen = norm.prepare_training(shape, frozen).unwrap();
    norm.prepare_backward(&frozen, Backward::of(whole(&x)).input_gradient(whole(&dx))).unwrap();
    // dy in the place of y is usual: nothing needs y any more.
    norm.prepare_backward(&step, backward(whole(&y))).unwrap();
    assert_usable(&norm);
}

#[test]
fn backward_bindings() {
    let norm = norm(8);
    let Step { shape, x, dy, step, .. } = step(&norm);
    let bytes = shape.bytes();
    let (dx, vector, big) = (gpu().empty(512), gpu().empty(8), gpu().empty(4096));
    let error = |backward: Backward<'_>| norm.prepare_backward(&step, backward).unwrap_err();
    let base = || Backward::of(whole(&dy));

    let short = gpu().empty(7);
    let too_small =
        |tensor, required, given| PrepareError::Binding(BindingError::TooSmall { tensor, required, given });
    assert_eq!(error(base().weight_gradient(whole(&short))), too_small(Tensor::WeightGradient, 32, 28));
    assert_eq!(error(base().bias_gradient(whole(&short))), too_small(Tensor::BiasGradient, 32, 28));
    assert_eq!(error(base().input_gradient(whole(&vector))), too_small(Tensor::InputGradient, bytes, 32));
    assert_eq!(
        error(base().weight_gradient(whole(&big)).input(whole(&vector))),
        too_small(Tensor::Input, bytes, 32)
    );
    assert_eq!(error(Backward::of(whole(&vector))), too_small(Tensor::OutputGradient, bytes, 32));

    let overlap =
        |first, second, in_place| PrepareError::Binding(BindingError::Overlap { first, second, in_place });
    assert_eq!(error(base().input_gradient(whole(&x))), overlap(Tensor::Input, Tensor::InputGradient, false));
    assert_eq!(
        error(Backward::of(part(&big, 0, bytes)).input_gradient(part(&big, 256, bytes))),
        overlap(Tensor::OutputGradient, Tensor::InputGradient, true)
    );
    assert_eq!(
        error(base().weight_gradient(whole(&vector)).bias_gradient(whole(&vector))),
        overlap(Tensor::WeightGradient, Tensor::BiasGradient, false)
    );
    assert_eq!(
        error(base().input_gradient(whole(&dx)).bias_gradient(part(&dx, 256, 32))),
        overlap(Tensor::InputGradient, Tensor::BiasGradient, false)
    );
    assert_usable(&norm);

    let plain = layer(&BatchNormDescriptor { weight: false, bias: false, ..descriptor(8) }, &state(8, 1));
    let Step { dy, step, .. } = self::step(&plain);
    let backward = || Backward::of(whole(&dy));
    assert_eq!(
        plain.prepare_backward(&step, backward().bias_gradient(whole(&vector))).unwrap_err(),
        PrepareError::NoParameter { tensor: Tensor::BiasGradient }
    );
    assert_eq!(
        plain.prepare_backward(&step, backward().parameter_gradients(whole(&big))).unwrap_err(),
        PrepareError::NoParameter { tensor: Tensor::WeightGradient }
    );
}

#[test]
fn rebinding() {
    let (norm, other) = (norm(8), norm(8));
    let Step { x, y, dy, mut step, .. } = step(&norm);
    let (vector, small) = (gpu().empty(8), gpu().empty(8));
    let backward = || Backward::of(whole(&dy)).weight_gradient(whole(&vector));
    let mut back = norm.prepare_backward(&step, backward()).unwrap();

    assert_eq!(step.rebind(&other, Training::new(whole(&x), whole(&y))), Err(PrepareError::OtherLayer));
    assert!(matches!(
        step.rebind(&norm, Training::new(whole(&small), whole(&y))),
        Err(PrepareError::Binding(BindingError::TooSmall {
            tensor: Tensor::Input,
            required: 2048,
            given: 32
        }))
    ));
    assert_eq!(back.rebind(&other, &step, backward()), Err(PrepareError::OtherLayer));
    for (backward, tensor, required) in [
        (Backward::of(whole(&dy)), Tensor::WeightGradient, true),
        (backward().bias_gradient(whole(&small)), Tensor::BiasGradient, false),
    ] {
        let error = back.rebind(&norm, &step, backward).unwrap_err();
        assert_eq!(error, PrepareError::OtherTensors { tensor, required });
    }
    // Both are what they were.
    gpu()
        .run(|pass| {
            step.record(pass);
            back.record(pass);
        })
        .unwrap();
    assert_usable(&norm);
}

#[test]
fn the_layers_own_buffers() {
    let norm = norm(8);
    let Step { shape, x, dy, step, .. } = step(&norm);
    let own = norm.weight().unwrap();
    let backward = Backward::of(whole(&dy)).weight_gradient(own.clone());
    assert_eq!(
        norm.prepare_backward(&step, backward).unwrap_err(),
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
