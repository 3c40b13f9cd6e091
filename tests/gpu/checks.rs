//! Shaders without wgpu's run-time checks do what shaders with them do, to the bit; and so does a device of WebGPU's
//! default limits.

use testkit::gpu::{context, download, gpu, whole};
use testkit::layer::{cut, descriptor, layer_in};
use testkit::plans::{plans, without_path};
use testkit::prepare;
use testkit::random::{state, tensor};
use testkit::train::{Trained, evaluate, train};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{BatchNorm, Context, ContextOptions, PlanRequest, Shape, wgpu};

fn shapes() -> [Shape; 5] {
    [
        Shape::rows(130, 48),
        Shape::rows(33, 7),
        Shape::channels_first(6, 5, &[6, 6]),
        Shape::channels_first(6, 5, &[7, 3]),
        Shape::channels_last(3, &[5, 5], 20),
    ]
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn with_and_without_run_time_checks() {
    let run = |context: &Context, shape: Shape, plan| -> (Trained, Vec<f32>) {
        let (x, dy) = (tensor(shape, 101), tensor(shape, 102));
        let norm = layer_in(context, &descriptor(shape.features()), &state(shape.features(), 103));
        let trained = train(&norm, shape, &x, &dy, plan);
        (trained, evaluate(&norm, shape, &x, without_path(plan)))
    };
    let checked = Context::with_options(&gpu().device, ContextOptions::default().runtime_checks());
    for shape in shapes() {
        for plan in plans(shape) {
            assert!(run(&checked, shape, plan) == run(context(), shape, plan), "{shape}, [{plan}]");
        }
    }
    // A dispatch folded into two dimensions.
    let (many, plan) = (Shape::channels_first(2, 70_001, &[2]), PlanRequest::new().workgroup(1));
    assert!(run(&checked, many, plan) == run(context(), many, plan), "{many}, [{plan}]");
}

#[test]
fn within_the_default_limits() {
    let outputs = |gpu: &Gpu, context: &Context, shape: Shape| -> Vec<Vec<f32>> {
        let d = descriptor(shape.features());
        let x = tensor(shape, 104);
        let run = |plan| {
            let norm = BatchNorm::new(context, &d).unwrap();
            norm.set_state(&gpu.queue, &cut(&d, &state(shape.features(), 105))).unwrap();
            let (input, output) = (gpu.upload(&x), gpu.empty(x.len()));
            let step = prepare::training(&norm, shape, whole(&input), whole(&output), plan);
            gpu.run(|pass| step.record(pass)).unwrap();
            download(&gpu.device, &gpu.queue, whole(&output))
        };
        plans(shape).into_iter().map(run).collect()
    };
    let small = Gpu::with_limits(|_| wgpu::Limits::default()).unwrap();
    assert_eq!(small.device.limits().max_compute_invocations_per_workgroup, 256);
    let within = Context::new(&small.device);
    for shape in shapes() {
        assert!(outputs(&small, &within, shape) == outputs(gpu(), context(), shape), "{shape}");
    }
}
