//! PyTorch's semantics and the other frameworks' conventions, over several steps.

use testkit::close::{assert_output, assert_state, assert_trained};
use testkit::gpu::{context, gpu, values, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::plans::plans;
use testkit::prepare::{self, Choices};
use testkit::random::{state, tensor};
use testkit::scales::FORWARD;
use testkit::train::train;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, Convention, Path, PlanRequest, Shape, State, Statistics, cpu,
};

/// Several steps, held against the reference after each; on every plan.
fn steps(descriptor: BatchNormDescriptor<'static>) {
    // The largest batch of these steps, so that what holds it holds all.
    for plan in plans(Shape::rows(24, descriptor.features)) {
        let before = state(descriptor.features, 21);
        let norm = layer(&descriptor, &before);
        let mut reference = cpu::Layer::with_state(&descriptor, &cut(&descriptor, &before));
        for step in 0..4 {
            let shape = Shape::rows(9 + step * 5, descriptor.features);
            let (x, dy) = (tensor(shape, 100 + u64::from(step)), tensor(shape, 200));
            let got = train(&norm, shape, &x, &dy, plan);
            assert_trained(&format!("{descriptor:?}, step {step}"), &got, shape, &reference, &x, &dy);
            cpu::train(&x, shape, &mut reference, &cpu::Options::default());
        }
    }
}

#[test]
fn conventions() {
    for convention in [Convention::PyTorch, Convention::Keras, Convention::Onnx, Convention::Burn] {
        steps(BatchNormDescriptor::with_defaults_of(convention, 6));
    }
}

#[test]
fn conventions_differ_as_documented() {
    // One step from running variance 0 shows share and estimator: 10 values of variance 1 (biased).
    let x: Vec<f32> = (0..10).map(|i| if i % 2 == 0 { 1.0 } else { 3.0 }).collect();
    let running = |convention| {
        let descriptor = BatchNormDescriptor {
            momentum: Some(0.25),
            ..BatchNormDescriptor::with_defaults_of(convention, 1)
        };
        let zero = State {
            weight: vec![1.0],
            bias: vec![0.0],
            running_mean: vec![0.0],
            running_var: vec![0.0],
            num_batches_tracked: 0,
        };
        let after =
            train(&layer(&descriptor, &zero), Shape::rows(10, 1), &x, &x, PlanRequest::default()).state;
        (after.running_mean[0], after.running_var[0])
    };
    approx::assert_relative_eq!(running(Convention::PyTorch).0, 0.25 * 2.0);
    approx::assert_relative_eq!(running(Convention::PyTorch).1, 0.25 * 10.0 / 9.0);
    approx::assert_relative_eq!(running(Convention::Burn).1, 0.25);
    approx::assert_relative_eq!(running(Convention::Keras).0, 0.75 * 2.0);
    approx::assert_relative_eq!(running(Convention::Keras).1, 0.75);
    assert_eq!(running(Convention::Keras), running(Convention::Onnx));
}

#[test]
fn momentum_none_is_the_cumulative_average() {
    steps(BatchNormDescriptor { momentum: None, ..descriptor(6) });
}

#[test]
fn momentum_0_keeps_the_buffers_and_1_replaces_them() {
    for momentum in [0.0, 1.0] {
        steps(BatchNormDescriptor { momentum: Some(momentum), ..descriptor(6) });
    }
}

#[test]
fn weight_and_bias_are_optional_each() {
    for (weight, bias) in [(true, false), (false, true), (false, false)] {
        steps(BatchNormDescriptor { weight, bias, ..descriptor(6) });
    }
}

#[test]
fn running_statistics_are_optional() {
    steps(BatchNormDescriptor { track_running_stats: false, ..descriptor(6) });
}

/// One forward with choices of its own: y and the state after.
fn forward(norm: &BatchNorm, shape: Shape, x: &[f32], choices: Choices) -> (Vec<f32>, State) {
    let (input, output) = (gpu().upload(x), gpu().empty(x.len()));
    let step = prepare::training(norm, shape, whole(&input), whole(&output), choices);
    gpu().run(|pass| step.record(pass)).unwrap();
    (values(&output), read_state(norm))
}

#[test]
fn which_statistics_normalize_and_whether_buffers_move_are_independent() {
    let descriptor = descriptor(6);
    let shape = Shape::channels_first(4, 6, &[3, 3]);
    let (x, before) = (tensor(shape, 31), state(6, 32));
    for statistics in [Statistics::Batch, Statistics::Running] {
        for update in [true, false] {
            for path in [None, Some(Path::Cached), Some(Path::Persistent), Some(Path::Split)] {
                let elementwise = (statistics, update) == (Statistics::Running, false);
                let mut plan = PlanRequest::new();
                plan.path = path.filter(|_| !elementwise);
                let norm = layer(&descriptor, &before);
                let mut reference = cpu::Layer::with_state(&descriptor, &before);
                let options = cpu::Options::default().statistics(statistics).update_running(update);
                let want = cpu::train(&x, shape, &mut reference, &options);
                let (y, after) =
                    forward(&norm, shape, &x, Choices { statistics, update_running: update, ..plan.into() });
                let what = format!("{statistics:?}, update {update}, [{plan}]");
                assert_output(&what, &y, shape, &x, &want, FORWARD);
                assert_state(&what, &after, &reference, FORWARD);
                if !update {
                    assert_eq!(after, before, "{what}");
                }
            }
        }
    }
}

#[test]
fn an_empty_batch_is_counted_and_nothing_else() {
    let descriptor = descriptor(6);
    let before = state(6, 33);
    let norm = layer(&descriptor, &before);
    let buffer = gpu().empty(64);
    for shape in [Shape::rows(0, 6), Shape::channels_first(0, 6, &[4, 4]), Shape::channels_last(0, &[4], 6)] {
        let step = prepare::training(&norm, shape, whole(&buffer), whole(&buffer), PlanRequest::default());
        gpu().run(|pass| step.record(pass)).unwrap();
    }
    assert_eq!(read_state(&norm), State { num_batches_tracked: 3, ..before });
}

#[test]
fn state_comes_back_as_it_was_set() {
    let descriptor = BatchNormDescriptor { bias: false, ..descriptor(300) };
    let norm = BatchNorm::new(context(), &descriptor).unwrap();
    let fresh = read_state(&norm);
    assert_eq!(fresh.weight, vec![1.0; 300]);
    assert!(fresh.bias.is_empty());
    assert_eq!((&fresh.running_mean, &fresh.running_var), (&vec![0.0; 300], &vec![1.0; 300]));
    assert_eq!(fresh.num_batches_tracked, 0);

    let set = State { num_batches_tracked: 4_000_000_000, ..cut(&descriptor, &state(300, 34)) };
    norm.set_state(&gpu().queue, &set).unwrap();
    assert_eq!(read_state(&norm), set);
}
