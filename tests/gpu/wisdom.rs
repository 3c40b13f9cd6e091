//! Plans that were measured before: what a context knows of them decides.

use testkit::gpu::{gpu, whole};
use testkit::layer::{descriptor, layer_in};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Activation, BatchNorm, Context, ContextOptions, DeviceProfile, LayerBuffers, Path, Plan, PlanRequest,
    Shape, Training, Tune, Wisdom, wgpu,
};

use super::tuning::{BACKWARD, SHAPE, SHORT, TRAINING, device, known, layer};

/// What a context knows decides, and no measurement.
#[test]
fn wisdom_chooses_the_plan() {
    let (values, gradient, before) = (tensor(SHAPE, 1105), tensor(SHAPE, 1106), state(12, 1107));
    let run = |context: &Context, plan: PlanRequest| {
        train(&layer_in(context, &descriptor(12), &before), SHAPE, &values, &gradient, plan)
    };
    let bare = Context::new(&gpu().device);
    for text in
        ["cached planes packet=1 workgroup=64 tile=1", "split planes packet=4 workgroup=8 tile=8 splits=5"]
    {
        let plan: PlanRequest = text.parse().unwrap();
        let mut wisdom = Wisdom::new();
        wisdom.insert(&device(), SHAPE, TRAINING, known(plan));
        wisdom.insert(&device(), SHAPE, BACKWARD, known(plan));
        let context = Context::new(&gpu().device);
        assert_eq!(context.add_wisdom(&wisdom), 2);
        assert!(run(&context, PlanRequest::default()) == run(&bare, plan), "{text}");

        let norm = layer(&context);
        let [x, y] = std::array::from_fn(|_| gpu().empty(SHAPE.elements() as usize));
        let prepared = |training: Training<'_>| norm.prepare_training(SHAPE, training).unwrap();
        let by_default = prepared(Training::new(whole(&x), whole(&y)));
        let whole_plan = Plan::new(context.profile(), TRAINING, SHAPE, plan).unwrap();
        assert_eq!(by_default.plan().request(), whole_plan.request());
        assert_eq!(context.request(TRAINING, SHAPE), plan);
        // What a step requests goes before.
        let path = PlanRequest::new().path(Path::Split).splits(2);
        let pinned = prepared(Training::new(whole(&x), whole(&y)).plan(path));
        assert_eq!(
            pinned.plan().request(),
            Plan::new(bare.profile(), TRAINING, SHAPE, path).unwrap().request()
        );
        // Another work, another shape.
        let other = prepared(Training::new(whole(&x), whole(&y)).activation(Activation::Relu));
        let work = other.plan().work();
        assert_eq!(other.plan(), &Plan::new(bare.profile(), work, SHAPE, PlanRequest::default()).unwrap());
        assert_eq!(context.request(TRAINING, Shape::rows(6, 12)), PlanRequest::default());
    }
}

#[test]
fn wisdom_that_does_not_fit_is_as_none() {
    let [x, y] = std::array::from_fn(|_| gpu().empty(SHAPE.elements() as usize));
    let bare = Context::new(&gpu().device);
    let default = Plan::new(bare.profile(), TRAINING, SHAPE, PlanRequest::default()).unwrap();
    for text in [
        "persistent rows",
        "split planes packet=16 workgroup=8 tile=8 splits=0",
        "cached planes packet=3",
        "cached planes packet=4 workgroup=1048576",
        "cached planes workgroup=8 tile=16",
        "persistent planes packet=1 held=5",
        "elementwise",
        "cached planes splits=4294967295",
    ] {
        let context = Context::new(&gpu().device);
        let mut wisdom = Wisdom::new();
        wisdom.insert(&device(), SHAPE, TRAINING, known(text.parse().unwrap()));
        assert_eq!(context.add_wisdom(&wisdom), 1);
        let norm = layer(&context);
        let step = norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y))).unwrap();
        assert_eq!(*step.plan(), default, "{text}");
        assert!(gpu().tune(&norm, Tune::new(SHAPE, TRAINING).budget(SHORT)).is_ok(), "{text}");
    }
    // Of another device, or another version of the driver.
    let mut wisdom = Wisdom::new();
    wisdom.insert(&format!("{} 2", device()), SHAPE, TRAINING, known(PlanRequest::new().splits(2)));
    let context = Context::new(&gpu().device);
    assert_eq!(context.add_wisdom(&wisdom), 0);
    assert_eq!(context.request(TRAINING, SHAPE), PlanRequest::default());
}

/// A plan within the profile's limits whose pipeline the device refuses.
#[test]
fn wisdom_that_the_device_refuses_is_as_none() {
    let gpu = Gpu::with_limits(|_| wgpu::Limits::default()).unwrap();
    let mut profile = DeviceProfile::of(&gpu.device);
    profile.max_workgroup = 1024;
    let context = Context::with_options(&gpu.device, ContextOptions::default().profile(profile));
    let mut wisdom = Wisdom::new();
    let large: PlanRequest = "cached planes packet=1 workgroup=1024 tile=1".parse().unwrap();
    wisdom.insert(&Wisdom::device_name(&gpu.device), SHAPE, TRAINING, known(large));
    assert_eq!(context.add_wisdom(&wisdom), 1);
    let norm = BatchNorm::new(&context, &descriptor(12)).unwrap();
    let [x, y] = std::array::from_fn(|_| gpu.empty(SHAPE.elements() as usize));
    let step = norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y))).unwrap();
    assert_ne!(step.plan().workgroup(), 1024);
    norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y)).plan(large)).unwrap_err();
    gpu.run(|pass| step.record(pass)).unwrap();
}

#[test]
fn a_layer_with_buffers_of_the_callers_has_wisdom_of_its_own() {
    let context = Context::new(&gpu().device);
    let weight = gpu().upload(&[1.0; 12]);
    let buffers = LayerBuffers::new().weight(whole(&weight));
    let norm = BatchNorm::with_buffers(&context, &descriptor(12), buffers).unwrap();
    let [x, y] = std::array::from_fn(|_| gpu().empty(SHAPE.elements() as usize));
    let step = norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y))).unwrap();
    let tuned = gpu().tune(&norm, Tune::new(SHAPE, step.plan().work()).budget(SHORT)).unwrap();
    context.add_wisdom(&tuned.wisdom());
    let again = norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y))).unwrap();
    assert_eq!(again.plan().request(), tuned.request());
    assert_eq!(context.request(TRAINING, SHAPE), PlanRequest::default());
}
