//! Errors of common mistakes say what to do about them; and what profiles and plans say of themselves.

use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer, layer_in};
use testkit::prepare;
use testkit::random::{state, tensor};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, Context, ContextOptions, Costs, DeviceProfile, Op, Path, Plan,
    PlanRequest, Shape, SoftwareCosts, State, Statistics, Training, wgpu,
};

#[track_caller]
fn assert_says(error: impl std::error::Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "required {part:?} in {text:?}");
    }
}

#[test]
fn one_value_per_feature() {
    let (norm, x, y) = (layer(&descriptor(3), &state(3, 471)), gpu().empty(64), gpu().empty(64));
    let error = norm.prepare_training(Shape::rows(1, 3), Training::new(whole(&x), whole(&y))).unwrap_err();
    assert_says(
        error,
        &["at least 2 values per feature", "1 × 3", "evaluate", "drop a last batch", "larger batches"],
    );
}

#[test]
fn backward_of_a_step_in_place() {
    let (norm, x, dy) = (layer(&descriptor(3), &state(3, 472)), gpu().empty(64), gpu().empty(64));
    let step = prepare::training(&norm, Shape::rows(8, 3), whole(&x), whole(&x), PlanRequest::default());
    let error =
        norm.prepare_backward(&step, Backward::of(whole(&dy)).input_gradient(whole(&dy))).unwrap_err();
    assert_says(error, &["in place", "input", "y overwrites it", "Backward::input", "another output"]);
}

#[test]
fn running_statistics_that_are_not_tracked() {
    let d = BatchNormDescriptor { track_running_stats: false, ..descriptor(3) };
    let (norm, x, y) = (layer(&d, &state(3, 473)), gpu().empty(64), gpu().empty(64));
    let training = Training::new(whole(&x), whole(&y)).statistics(Statistics::Running);
    let error = norm.prepare_training(Shape::rows(8, 3), training).unwrap_err();
    assert_says(error, &["track_running_stats: false", "use batch statistics, or track"]);
}

#[test]
fn tensors_beyond_the_limits() {
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 1 << 20, ..wgpu::Limits::default() };
    let gpu = Gpu::with_limits(|_| limits).unwrap();
    let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(2)).unwrap();
    let (x, y) = (gpu.empty(1 << 19), gpu.empty(1 << 19));
    let training = Training::new(whole(&x), whole(&y));
    let shape = Shape::channels_first(1, 2, &[1 << 18]);
    let error = norm.prepare_training(shape, training).unwrap_err();
    assert_says(
        error,
        &[
            "an example",
            "2097152",
            "1048576",
            "request a higher max_storage_buffer_binding_size",
            "take smaller examples",
        ],
    );
}

#[test]
fn features_on_another_axis() {
    let (norm, x, y) = (layer(&descriptor(3), &state(3, 474)), gpu().empty(64), gpu().empty(64));
    let shape = Shape::channels_first(3, 5, &[4]);
    let error = norm.prepare_training(shape, Training::new(whole(&x), whole(&y))).unwrap_err();
    assert_says(error, &["has 3 features", "the shape 5", "check which axis the features are on"]);
}

#[test]
fn a_variance_that_is_none() {
    let (norm, before) = (layer(&descriptor(3), &state(3, 475)), state(3, 475));
    let set = State { running_var: vec![1.0, 2.0, -0.5], ..before };
    assert_says(norm.set_state(&gpu().queue, &set).unwrap_err(), &["running_var[2]", "at least 0", "-0.5"]);
}

/// Bits depend on plans, and so should not depend on the machine's number of cores.
#[test]
fn plans_do_not_depend_on_the_number_of_cores() {
    let threads = |profile: DeviceProfile| match profile.costs {
        Costs::Software(costs) => costs.threads,
        _ => SoftwareCosts::LAVAPIPE.threads,
    };
    assert_eq!(SoftwareCosts::LAVAPIPE.threads, 4);
    assert_eq!(threads(DeviceProfile::of(&gpu().device)), 4);
    assert_eq!(threads(DeviceProfile::software(8)), 4);
    if gpu().device.adapter_info().device_type == wgpu::DeviceType::Cpu {
        assert!(matches!(DeviceProfile::of(&gpu().device).costs, Costs::Software(_)));
    }
}

#[test]
fn a_context_plans_for_the_profile_that_it_is_given() {
    let shape = Shape::rows(5000, 3);
    let x = tensor(shape, 476);
    for profile in [DeviceProfile::discrete(), DeviceProfile::integrated(), DeviceProfile::software(4)] {
        let options = ContextOptions::default().profile(profile);
        let context = Context::with_options(&gpu().device, options);
        assert_eq!(*context.profile(), profile);
        let norm = layer_in(&context, &descriptor(3), &state(3, 477));
        let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
        let step = prepare::training(&norm, shape, whole(&input), whole(&output), PlanRequest::default());
        let op = Op::Training { update_running: true };
        assert_eq!(*step.plan(), Plan::new(&profile, op, shape, PlanRequest::default()).unwrap());
        gpu().run(|pass| step.record(pass)).unwrap();
        assert!(values(&output).iter().all(|y| y.is_finite() && *y != 0.0));
    }
    let plan =
        |profile: DeviceProfile| Plan::new(&profile, Op::Evaluation, shape, PlanRequest::default()).unwrap();
    assert_ne!(plan(DeviceProfile::discrete()), plan(DeviceProfile::software(8)));
}

#[test]
fn profiles_and_plans_print() {
    let discrete = DeviceProfile::discrete().to_string();
    for part in [
        "GPU, 1500 GB/s",
        "32 MB of cache",
        "at most 256 invocations",
        "65535 workgroups",
        "8 storage buffers",
        "multiples of 256",
    ] {
        assert!(discrete.contains(part), "required {part:?} in {discrete:?}");
    }
    let software = DeviceProfile::software(8).to_string();
    assert!(software.starts_with("software adapter, 8 lanes, planned for 4 cores"), "{software}");
    let request = PlanRequest::new().path(Path::Split).packet(1).splits(3);
    let op = Op::Training { update_running: true };
    let plan = Plan::new(&DeviceProfile::discrete(), op, Shape::rows(5000, 3), request).unwrap();
    assert!(plan.to_string().starts_with("training of 5000 × 3: split over rows"), "{plan}");
    assert!(plan.request().to_string().starts_with("split rows packet=1"), "{}", plan.request());
}
