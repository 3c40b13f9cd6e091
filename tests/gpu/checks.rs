//! Shaders without wgpu's run-time checks do what shaders with them do, to the bit; and so do those for a device of
//! WebGPU's default limits.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{BatchNorm, Context, Shape, Training, wgpu};

use crate::support::{cut, descriptor, gpu, plans, state, tensor};

fn outputs(
    gpu: &Gpu,
    context: &Context,
    shape: Shape,
    plans: &[wgpu_batchnorm::PlanRequest],
) -> Vec<Vec<f32>> {
    let d = descriptor(shape.features());
    let x = tensor(shape, 101);
    let run = |&plan| {
        let norm = BatchNorm::new(context, &d).unwrap();
        norm.set_state(&gpu.queue, &cut(&d, &state(shape.features(), 102))).unwrap();
        let (input, output) = (gpu.upload(&x), gpu.empty(x.len()));
        let whole = wgpu::Buffer::as_entire_buffer_binding;
        let training = Training { plan, ..Training::new(whole(&input), whole(&output)) };
        let step = norm.prepare_training(shape, training).unwrap();
        gpu.run(|pass| step.record(pass)).unwrap();
        gpu.download(&output).unwrap()
    };
    plans.iter().map(run).collect()
}

fn shapes() -> [Shape; 3] {
    [Shape::rows(130, 48), Shape::rows(33, 7), Shape::channels_first(6, 5, &[6, 6])]
}

#[test]
fn with_and_without_run_time_checks() {
    let (checked, unchecked) = (Context::with_runtime_checks(&gpu().device), Context::new(&gpu().device));
    for shape in shapes() {
        let plans = plans(shape);
        assert!(
            outputs(gpu(), &checked, shape, &plans) == outputs(gpu(), &unchecked, shape, &plans),
            "{shape}"
        );
    }
}

#[test]
fn within_the_default_limits() {
    let small = Gpu::with_limits(|_| wgpu::Limits::default()).unwrap();
    assert_eq!(small.device.limits().max_compute_invocations_per_workgroup, 256);
    for shape in shapes() {
        let plans = plans(shape);
        let want = outputs(gpu(), &Context::new(&gpu().device), shape, &plans);
        assert!(outputs(&small, &Context::new(&small.device), shape, &plans) == want, "{shape}");
    }
}
