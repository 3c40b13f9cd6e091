//! Which tensors may lie where: ranges that overlap, that touch, and tensors that are mistaken for others.

use testkit::gpu::{gpu, part, values, whole};
use testkit::layer::{descriptor, layer};
use testkit::plans::of_path;
use testkit::prepare::{self, Choices};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::wgpu::{Buffer, BufferBinding};
use wgpu_batchnorm::{
    Backward, BatchNorm, BindingError, Evaluation, ForwardStep, Path, PlanRequest, PrepareError, Shape,
    Statistics, Tensor, Training,
};

/// 1024 bytes.
const SHAPE: Shape = Shape::rows(32, 8);
const BYTES: u64 = SHAPE.bytes();

fn norm() -> BatchNorm {
    layer(&descriptor(8), &state(8, 401))
}

/// So many tensors' length of a buffer.
fn room(tensors: usize) -> Buffer {
    gpu().empty(tensors * SHAPE.elements() as usize)
}

/// The tensor of that number in a buffer of several, one touching the other.
fn at(buffer: &Buffer, number: u64) -> BufferBinding<'_> {
    part(buffer, number * BYTES, BYTES)
}

fn half_past(buffer: &Buffer, number: u64) -> BufferBinding<'_> {
    part(buffer, number * BYTES + BYTES / 2, BYTES)
}

/// A step that backward is prepared of: x in the second, y in the fourth place.
fn forward(norm: &BatchNorm, x: &Buffer, y: &Buffer) -> ForwardStep {
    prepare::training(norm, SHAPE, at(x, 1), at(y, 3), PlanRequest::default())
}

fn overlap(first: Tensor, second: Tensor) -> PrepareError {
    PrepareError::Binding(BindingError::Overlap { first, second, in_place: false })
}

fn mixed_up(tensor: Tensor, given: Tensor) -> PrepareError {
    PrepareError::ForwardsTensor { tensor, given }
}

#[test]
fn dy_in_the_range_of_x_with_dx_in_the_same_buffer() {
    let norm = norm();
    let (x, y, both) = (room(5), room(5), room(3));
    let step = forward(&norm, &x, &y);
    // dx makes all of its buffer writable, where nothing may be bound twice.
    let backward = Backward::of(at(&both, 0)).input(at(&both, 0)).input_gradient(at(&both, 2));
    assert_eq!(
        norm.prepare_backward(&step, backward).unwrap_err(),
        overlap(Tensor::OutputGradient, Tensor::Input)
    );
    let backward = Backward::of(at(&both, 0)).input(half_past(&both, 0)).input_gradient(at(&both, 2));
    assert_eq!(
        norm.prepare_backward(&step, backward).unwrap_err(),
        overlap(Tensor::OutputGradient, Tensor::Input)
    );
    // Gradients of parameters make it writable, too.
    let backward = Backward::of(at(&both, 0)).input(at(&both, 0)).weight_gradient(at(&both, 2));
    assert_eq!(
        norm.prepare_backward(&step, backward).unwrap_err(),
        overlap(Tensor::OutputGradient, Tensor::Input)
    );
}

#[test]
fn dy_in_the_range_of_x_with_dx_in_another_buffer() {
    let (x, before) = (tensor(SHAPE, 402), state(8, 401));
    for path in [Path::Cached, Path::Split] {
        let plan = of_path(path);
        let want = train(&layer(&descriptor(8), &before), SHAPE, &x, &x, plan);
        let norm = norm();
        let (input, copy, output, dx) = (gpu().upload(&x), gpu().upload(&x), room(1), room(1));
        let step = prepare::training(&norm, SHAPE, whole(&input), whole(&output), plan);
        let backward = Backward::of(whole(&copy)).input(whole(&copy)).input_gradient(whole(&dx)).plan(plan);
        let back = norm.prepare_backward(&step, backward).unwrap();
        gpu()
            .run(|pass| {
                step.record(pass);
                back.record(pass);
            })
            .unwrap();
        assert!(values(&dx) == want.dx, "{path}");
    }
}

#[test]
fn ranges_that_touch_are_apart() {
    let (x, dy, before) = (tensor(SHAPE, 403), tensor(SHAPE, 404), state(8, 401));
    for path in [Path::Cached, Path::Persistent, Path::Split] {
        let plan = of_path(path);
        let want = train(&layer(&descriptor(8), &before), SHAPE, &x, &dy, plan);
        let norm = norm();
        let zeros = vec![0.0; x.len()];
        let all = gpu().upload(&[&x[..], &zeros, &dy, &zeros].concat());
        let step = prepare::training(&norm, SHAPE, at(&all, 0), at(&all, 1), plan);
        let backward = Backward::of(at(&all, 2)).input_gradient(at(&all, 3)).plan(plan);
        let back = norm.prepare_backward(&step, backward).unwrap();
        gpu()
            .run(|pass| {
                step.record(pass);
                back.record(pass);
            })
            .unwrap();
        assert!(values(&all) == [x.clone(), want.y, dy.clone(), want.dx].concat(), "{path}");
    }
}

#[test]
fn x_where_the_forward_step_has_y() {
    let norm = norm();
    let (x, y, dy, vector) = (room(5), room(5), room(1), gpu().empty(8));
    let step = forward(&norm, &x, &y);
    let expected = mixed_up(Tensor::Input, Tensor::Output);
    for input in [at(&y, 3), half_past(&y, 2), half_past(&y, 3)] {
        let backward = Backward::of(whole(&dy)).input(input.clone()).weight_gradient(whole(&vector));
        assert_eq!(norm.prepare_backward(&step, backward).unwrap_err(), expected);
    }
    // What only touches y is another tensor.
    for input in [at(&y, 2), at(&y, 4)] {
        let backward = Backward::of(whole(&dy)).input(input).weight_gradient(whole(&vector));
        norm.prepare_backward(&step, backward).unwrap();
    }
}

#[test]
fn dy_where_the_forward_step_has_x() {
    let norm = norm();
    let (x, y, dx) = (room(5), room(5), room(1));
    let step = forward(&norm, &x, &y);
    let expected = mixed_up(Tensor::OutputGradient, Tensor::Input);
    for dy in [at(&x, 1), half_past(&x, 0), half_past(&x, 1)] {
        let backward = Backward::of(dy.clone()).input_gradient(whole(&dx));
        assert_eq!(norm.prepare_backward(&step, backward).unwrap_err(), expected);
        // The same where x is given again.
        let backward = Backward::of(dy).input(at(&x, 1)).input_gradient(whole(&dx));
        assert_eq!(norm.prepare_backward(&step, backward).unwrap_err(), expected);
    }
    for dy in [at(&x, 0), at(&x, 2)] {
        norm.prepare_backward(&step, Backward::of(dy).input_gradient(whole(&dx))).unwrap();
    }
}

#[test]
fn what_is_not_read_may_be_anything() {
    let norm = norm();
    let (x, y, dx, vector) = (room(5), room(5), room(1), gpu().empty(8));
    let frozen = Choices { statistics: Statistics::Running, update_running: false, ..Default::default() };
    let frozen = prepare::training(&norm, SHAPE, at(&x, 1), at(&y, 3), frozen);
    let evaluation = Evaluation::new(at(&x, 1), at(&y, 3));
    let evaluation = norm.prepare_evaluation(SHAPE, evaluation).unwrap();
    for step in [frozen, evaluation] {
        for dy in [at(&x, 1), half_past(&x, 0)] {
            let backward = || Backward::of(dy.clone()).input_gradient(whole(&dx));
            norm.prepare_backward(&step, backward()).unwrap();
            norm.prepare_backward(&step, backward().input(at(&y, 3))).unwrap();
            // The weight's gradient reads x.
            let learning = backward().weight_gradient(whole(&vector));
            let error = norm.prepare_backward(&step, learning).unwrap_err();
            assert_eq!(error, mixed_up(Tensor::OutputGradient, Tensor::Input));
        }
    }
}

#[test]
fn what_is_saved_for_backward_is_not_overwritten() {
    let norm = norm();
    let saved = gpu().empty(1024);
    let bytes = norm.saved_bytes();
    let (x, y, dy) = (room(1), room(1), room(1));
    let training = |saved| Training::new(whole(&x), whole(&y)).saved(saved);
    let error = |training| norm.prepare_training(SHAPE, training).unwrap_err();
    assert!(matches!(
        error(Training::new(part(&saved, 0, BYTES), whole(&y)).saved(part(&saved, 256, bytes))),
        PrepareError::Binding(BindingError::Overlap { in_place: false, .. })
    ));
    assert!(matches!(
        error(Training::new(whole(&x), part(&saved, 0, BYTES)).saved(part(&saved, 256, bytes))),
        PrepareError::Binding(BindingError::Overlap { in_place: false, .. })
    ));
    let step = norm.prepare_training(SHAPE, training(part(&saved, 256, bytes))).unwrap();
    for gradient in [part(&saved, 0, BYTES), part(&saved, 1536, BYTES)] {
        let backward = Backward::of(whole(&dy)).input_gradient(gradient);
        assert_eq!(
            norm.prepare_backward(&step, backward).unwrap_err(),
            overlap(Tensor::SavedStatistics, Tensor::InputGradient)
        );
    }
    let backward = Backward::of(whole(&dy)).bias_gradient(part(&saved, 512, 32));
    assert_eq!(
        norm.prepare_backward(&step, backward).unwrap_err(),
        overlap(Tensor::SavedStatistics, Tensor::BiasGradient)
    );
    let behind = part(&saved, 1792, BYTES);
    norm.prepare_backward(&step, Backward::of(whole(&dy)).input_gradient(behind)).unwrap();
}
