//! The layer inside a caller's program: one pass for several layers and the caller's own dispatches, pipelines shared.

use testkit::close::{assert_output, assert_state};
use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::random::{state, tensor};
use testkit::scales::FORWARD;
use testkit::shared::device_of_thread;
use testkit::train::train;
use testkit::{kernel, prepare};
use wgpu_batchnorm::{BackwardStep, BatchNorm, Context, ForwardStep, PlanRequest, Shape, cpu};

#[test]
fn everything_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Context>();
    check::<BatchNorm>();
    check::<ForwardStep>();
    check::<BackwardStep>();
}

const DOUBLE: &str = "
@group(0) @binding(0) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn double(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&values) {
        values[id.x] *= 2.0;
    }
}
";

#[test]
fn layers_and_the_callers_dispatches_share_a_pass() {
    let gpu = gpu();
    let device = &gpu.device;
    let double = kernel::pipeline(device, &kernel::module(device, "double", DOUBLE), "double", &[]);
    // 6 features in planes, then the same tensor as rows of 32 features.
    let (first, second) = (Shape::channels_first(16, 6, &[8]), Shape::rows(24, 32));
    let x = tensor(first, 91);
    let (a, b, c) = (gpu.upload(&x), gpu.empty(x.len()), gpu.empty(x.len()));
    let workgroups = [x.len().div_ceil(64) as u32, 1];
    let double = kernel::Dispatch::new(device, &double, [(0, whole(&b))], workgroups);
    let (state6, state32) = (state(6, 92), state(32, 93));
    let (norm6, norm32) = (layer(&descriptor(6), &state6), layer(&descriptor(32), &state32));
    let plan = PlanRequest::default();
    let step6 = prepare::training(&norm6, first, whole(&a), whole(&b), plan);
    let step32 = prepare::evaluation(&norm32, second, whole(&b), whole(&c), plan);
    gpu.run(|pass| {
        step6.record(pass);
        double.record(pass);
        step32.record(pass);
    })
    .unwrap();

    let mut reference = cpu::Layer::with_state(&descriptor(6), &state6);
    let y = cpu::train(&x, first, &mut reference, &cpu::Options::default()).y;
    let doubled: Vec<f32> = y.iter().map(|v| (v * 2.0) as f32).collect();
    let want = cpu::evaluate(
        &doubled,
        second,
        &cpu::Layer::with_state(&descriptor(32), &state32),
        &cpu::Options::default(),
    );
    // Two layers, one rounding between them.
    assert_output("two layers", &values(&c), second, &doubled, &want, 4.0 * FORWARD);
}

#[test]
fn a_step_is_recorded_any_number_of_times() {
    let shape = Shape::rows(40, 12);
    let (x, before) = (tensor(shape, 94), state(12, 95));
    let norm = layer(&descriptor(12), &before);
    let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
    let step = prepare::training(&norm, shape, whole(&input), whole(&output), PlanRequest::default());
    gpu().run(|pass| (0..5).for_each(|_| step.record(pass))).unwrap();
    let mut reference = cpu::Layer::with_state(&descriptor(12), &before);
    for _ in 0..5 {
        cpu::train(&x, shape, &mut reference, &cpu::Options::default());
    }
    assert_state("five steps", &read_state(&norm), &reference, FORWARD);
}

#[test]
fn a_network_compiles_a_handful_of_pipelines() {
    let context = Context::new(&gpu().device);
    let (x, y) = (gpu().empty(1 << 20), gpu().empty(1 << 20));
    // The 53 layers of a ResNet-50.
    let stages = [
        (64, 56, 7),
        (256, 56, 4),
        (128, 28, 8),
        (512, 28, 5),
        (256, 14, 12),
        (1024, 14, 7),
        (512, 7, 6),
        (2048, 7, 4),
    ];
    let mut layers = 0;
    for (features, side, repeats) in stages {
        for _ in 0..repeats {
            let norm = BatchNorm::new(&context, &descriptor(features)).unwrap();
            let shape = Shape::channels_first(1, features, &[side, side]);
            prepare::training(&norm, shape, whole(&x), whole(&y), PlanRequest::default());
            prepare::evaluation(&norm, shape, whole(&x), whole(&y), PlanRequest::default());
            layers += 1;
        }
    }
    assert_eq!(layers, 53);
    assert!(context.pipelines() <= 16, "{} pipelines", context.pipelines());
}

#[test]
fn contexts_and_layers_work_from_several_threads() {
    let shape = Shape::rows(64, 16);
    let (x, dy, before) = (tensor(shape, 96), tensor(shape, 97), state(16, 98));
    let run = || train(&layer(&descriptor(16), &before), shape, &x, &dy, PlanRequest::default());
    let want = run();
    let device = device_of_thread();
    let on_device = || {
        device.enter();
        run()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(on_device)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == want));
    });
}
