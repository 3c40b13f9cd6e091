//! Pipelines of a context: built ahead, from several threads, and refused by the device.

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::gpu::{gpu, whole};
use testkit::layer::{descriptor, layer_in};
use testkit::prepare::{self, Gradients};
use testkit::random::{state, tensor};
use testkit::shared::device_of_thread;
use testkit::train::train;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    BatchNorm, Context, ContextOptions, DeviceProfile, Evaluation, Op, Path, PipelineError, Plan,
    PlanRequest, PrepareError, Shape, Training, wgpu,
};

fn plan(context: &Context, op: Op, shape: Shape, request: PlanRequest) -> Plan {
    Plan::new(context.profile(), op, shape, request).unwrap()
}

#[test]
fn warming_up_builds_what_is_needed_later() {
    let shape = Shape::rows(300, 8);
    for path in [Path::Cached, Path::Split] {
        let context = Context::new(&gpu().device);
        let (request, default) = (PlanRequest::new().path(path), PlanRequest::default());
        let plans = [
            plan(&context, Op::Training { update_running: true }, shape, request),
            plan(&context, Op::Evaluation, shape, default),
            plan(&context, Op::Backward { reduce: true, apply: true }, shape, request),
            plan(&context, Op::Backward { reduce: true, apply: false }, shape, default),
            plan(&context, Op::Backward { reduce: false, apply: true }, shape, default),
        ];
        assert_eq!(context.pipelines(), 0);
        pollster::block_on(context.warm_up(&plans)).unwrap();
        let built = context.pipelines();
        assert!(built >= 4, "{built} pipelines");
        pollster::block_on(context.warm_up(&plans)).unwrap();

        let norm = layer_in(&context, &descriptor(8), &state(8, 411));
        let [x, y, dy, dx] = std::array::from_fn(|_| gpu().empty(shape.elements() as usize));
        let [dweight, dbias] = std::array::from_fn(|_| gpu().empty(8));
        let training = prepare::training(&norm, shape, whole(&x), whole(&y), request);
        let evaluation = prepare::evaluation(&norm, shape, whole(&x), whole(&y), default);
        let learning =
            Gradients { dweight: Some(whole(&dweight)), dbias: Some(whole(&dbias)), ..Default::default() };
        let all = Gradients { dx: Some(whole(&dx)), ..learning.clone() };
        let apply = Gradients { dx: Some(whole(&dx)), ..Default::default() };
        prepare::backward(&norm, &training, whole(&dy), all, request);
        prepare::backward(&norm, &training, whole(&dy), learning, default);
        prepare::backward(&norm, &evaluation, whole(&dy), apply, default);
        assert_eq!(context.pipelines(), built, "{path}");
    }
}

#[test]
fn several_threads_prepare_at_the_same_time() {
    let context = Context::new(&gpu().device);
    let shapes = [Shape::rows(64, 12), Shape::channels_first(6, 5, &[3, 3]), Shape::rows(64, 12)];
    let barrier = Barrier::new(shapes.len());
    let run = |context: &Context, shape: Shape| {
        let (x, dy, before) = (tensor(shape, 412), tensor(shape, 413), state(shape.features(), 414));
        let norm = layer_in(context, &descriptor(shape.features()), &before);
        train(&norm, shape, &x, &dy, PlanRequest::new().path(Path::Split).packet(1))
    };
    let device = device_of_thread();
    let got = std::thread::scope(|scope| {
        let (context, barrier) = (&context, &barrier);
        let threads = shapes.map(|shape| {
            scope.spawn(move || {
                device.enter();
                barrier.wait();
                // Other threads may ask meanwhile.
                assert!(context.pipelines() < 100);
                run(context, shape)
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    let alone = Context::new(&gpu().device);
    for (got, shape) in got.iter().zip(shapes) {
        assert!(*got == run(&alone, shape), "{shape}");
    }
    assert_eq!(context.pipelines(), alone.pipelines(), "each is built once");
}

/// A device of these limits, and how often it reported an error that nobody caught.
fn device(limits: wgpu::Limits) -> (Gpu, Arc<AtomicUsize>) {
    let gpu = Gpu::with_limits(|_| limits).unwrap();
    let uncaught = Arc::new(AtomicUsize::new(0));
    let count = uncaught.clone();
    gpu.device.on_uncaptured_error(Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    (gpu, uncaught)
}

const LONG: Shape = Shape::rows(2000, 8);

/// Training and evaluation with this plan, and what warming up says, must be refused, each time anew.
#[track_caller]
fn assert_refused(gpu: &Gpu, norm: &BatchNorm, request: PlanRequest, message: &str) {
    let context = norm.context();
    let [x, y] = std::array::from_fn(|_| gpu.empty(LONG.elements() as usize));
    let cached = request.path(Path::Cached);
    let op = Op::Training { update_running: true };
    let plan = plan(context, op, LONG, cached);
    for _ in 0..2 {
        let training = Training::new(whole(&x), whole(&y)).plan(cached);
        let PrepareError::Pipeline(error) = norm.prepare_training(LONG, training).unwrap_err() else {
            panic!("required an error of the pipeline")
        };
        let PipelineError::Refused { kernel, .. } = &error else { panic!("{error}") };
        assert!(["cached_rows_x1", "cached_rows_x1_by_one"].contains(&kernel.as_str()), "{kernel}");
        assert!(error.to_string().contains(message), "required {message:?} in {error}");
        let warmed = pollster::block_on(context.warm_up(std::slice::from_ref(&plan)));
        assert_eq!(warmed, Err(error), "as when it is prepared");
        let evaluation = Evaluation::new(whole(&x), whole(&y)).plan(request);
        let error = norm.prepare_evaluation(LONG, evaluation).unwrap_err();
        assert!(matches!(error, PrepareError::Pipeline(PipelineError::Refused { .. })), "{error}");
        assert_eq!(context.pipelines(), 0, "failures are not kept");
    }
}

#[test]
fn workgroups_that_are_larger_than_the_devices() {
    let (gpu, uncaught) = device(wgpu::Limits::default());
    let mut profile = DeviceProfile::of(&gpu.device);
    assert_eq!(profile.max_workgroup, 256);
    profile.max_workgroup = 1024;
    let context = Context::with_options(&gpu.device, ContextOptions::default().profile(profile));
    let norm = BatchNorm::new(&context, &descriptor(8)).unwrap();
    let plan = PlanRequest::new().packet(1);
    assert_refused(&gpu, &norm, plan.workgroup(512), "512 invocations, the device takes 256");

    // The same layer and context work with what the device takes.
    let [x, y] = std::array::from_fn(|_| gpu.empty(LONG.elements() as usize));
    let training = Training::new(whole(&x), whole(&y)).plan(plan.workgroup(256).path(Path::Cached));
    let step = norm.prepare_training(LONG, training).unwrap();
    gpu.run(|pass| step.record(pass)).unwrap();
    let state = pollster::block_on(norm.read_state(&gpu.queue)).unwrap();
    assert_eq!((state.num_batches_tracked, context.pipelines()), (1, 1));
    assert_eq!(uncaught.load(Ordering::Relaxed), 0);
}

#[test]
fn a_pipeline_that_the_device_refuses() {
    let limits = wgpu::Limits { max_storage_buffers_per_shader_stage: 3, ..wgpu::Limits::default() };
    let (gpu, uncaught) = device(limits);
    // Planned for a device that binds more.
    let mut profile = DeviceProfile::of(&gpu.device);
    profile.max_storage_buffers = 8;
    let context = Context::with_options(&gpu.device, ContextOptions::default().profile(profile));
    let norm = BatchNorm::new(&context, &descriptor(8)).unwrap();
    assert_refused(&gpu, &norm, PlanRequest::new().packet(1), "storage");
    assert_eq!(uncaught.load(Ordering::Relaxed), 0, "errors are told to those that ask for pipelines alone");
}
