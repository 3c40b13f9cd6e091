//! What wgpu holds for a context: no more for a thousand steps than for one, and nothing that breaks when it is destroyed.

use testkit::gpu::whole;
use testkit::layer::descriptor;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{self, Buffer};
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, Context, Evaluation, ForwardStep, Path, PlanRequest, Shape, Training,
};

/// A device of an instance of its own, whose resources no other test counts.
fn device() -> (wgpu::Instance, Gpu) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
    (instance, Gpu::from_device(device, queue))
}

/// Buffers and bind groups that wgpu holds.
fn held(instance: &wgpu::Instance) -> (usize, usize) {
    let report = instance.generate_report().expect("a native backend");
    let hub = report.hub_report();
    (hub.buffers.num_allocated, hub.bind_groups.num_allocated)
}

const SHAPE: Shape = Shape::rows(300, 8);

struct Tensors([Buffer; 4]);

impl Tensors {
    fn new(gpu: &Gpu) -> Self {
        Self(std::array::from_fn(|_| gpu.empty(SHAPE.elements() as usize)))
    }

    /// Training, its backward, and an evaluation, on a path.
    fn steps(&self, norm: &BatchNorm, path: Path) -> (ForwardStep, BackwardStep, ForwardStep) {
        let [x, y, dy, dx] = self.0.each_ref().map(whole);
        let plan = PlanRequest::new().path(path);
        let training = Training::new(x.clone(), y.clone()).plan(plan);
        let training = norm.prepare_training(SHAPE, training).unwrap();
        let backward = Backward::of(dy).input_gradient(dx).plan(plan);
        let backward = norm.prepare_backward(&training, backward).unwrap();
        let evaluation = norm.prepare_evaluation(SHAPE, Evaluation::new(x, y)).unwrap();
        (training, backward, evaluation)
    }
}

#[test]
fn a_thousand_steps_one_after_the_other_take_no_more_than_one() {
    let (instance, gpu) = device();
    let (context, tensors) = (Context::new(&gpu.device), Tensors::new(&gpu));
    let norm = BatchNorm::new(&context, &descriptor(8)).unwrap();
    let mut rounds = (0..334).map(|i| {
        let path = if i % 2 == 0 { Path::Cached } else { Path::Split };
        let (training, backward, evaluation) = tensors.steps(&norm, path);
        // Some are used, some are not.
        if i % 10 == 0 {
            gpu.run(|pass| {
                training.record(pass);
                backward.record(pass);
                evaluation.record(pass);
            })
            .unwrap();
        }
        drop((training, backward, evaluation));
        held(&instance)
    });
    let first: Vec<_> = rounds.by_ref().take(34).collect();
    let rest: Vec<_> = rounds.collect();
    let most = |counts: &[(usize, usize)]| {
        let (buffers, groups): (Vec<_>, Vec<_>) = counts.iter().copied().unzip();
        (buffers.into_iter().max(), groups.into_iter().max())
    };
    assert_eq!(most(&rest), most(&first));
}

#[test]
fn a_thousand_steps_that_are_never_submitted_take_no_more_than_one() {
    let (instance, gpu) = device();
    let (context, tensors) = (Context::new(&gpu.device), Tensors::new(&gpu));
    let norm = BatchNorm::new(&context, &descriptor(8)).unwrap();
    let round = || {
        drop(tensors.steps(&norm, Path::Split));
        held(&instance)
    };
    let first = round();
    for i in 1..500 {
        assert_eq!(round(), first, "round {i}");
    }
}

#[test]
fn steps_of_one_kind_share_buffers() {
    let (instance, gpu) = device();
    let (context, tensors) = (Context::new(&gpu.device), Tensors::new(&gpu));
    let norm = BatchNorm::new(&context, &descriptor(8)).unwrap();
    let first = tensors.steps(&norm, Path::Split);
    let before = held(&instance).0;
    let more: Vec<_> = (0..50).map(|_| tensors.steps(&norm, Path::Split)).collect();
    assert_eq!(held(&instance).0, before, "150 steps more");
    drop((first, more));
}

#[test]
fn what_is_destroyed_breaks_nothing_else() {
    let (instance, gpu) = device();
    let (context, tensors) = (Context::new(&gpu.device), Tensors::new(&gpu));
    let run = |norm: &BatchNorm| {
        let steps = tensors.steps(norm, Path::Split);
        gpu.run(|pass| {
            steps.0.record(pass);
            steps.1.record(pass);
            steps.2.record(pass);
        })
        .unwrap();
        assert_eq!(pollster::block_on(norm.read_state(&gpu.queue)).unwrap().num_batches_tracked, 1);
        steps
    };
    let [norm, other] = std::array::from_fn(|_| BatchNorm::new(&context, &descriptor(8)).unwrap());
    let (training, backward, evaluation) = run(&norm);
    backward.destroy();
    training.destroy();
    evaluation.destroy();
    norm.destroy();
    let left = run(&other);
    context.destroy();
    // Steps are invalid then, and can be dropped; the context itself can be used again.
    drop(left);
    let again = BatchNorm::new(&context, &descriptor(8)).unwrap();
    run(&again).0.destroy();
    again.destroy();
    context.destroy();
    context.destroy();
    drop(other);
    assert!(held(&instance).0 > 0);
}
