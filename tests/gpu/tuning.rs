//! Plans that are measured, and remembered.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use testkit::gpu::{gpu, whole};
use testkit::layer::{descriptor, layer_in, read_state};
use testkit::prepare::{self, Gradients};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::{
    Activation, BatchNorm, Context, Epilogue, MaskKind, Op, Plan, PlanRequest, Progress, ResidualGradient,
    Shape, StorageType, Training, Tune, TuneError, Tuned, Wisdom, WisdomEntry, Work, wgpu,
};

pub const TRAINING: Op = Op::Training { update_running: true };
pub const BACKWARD: Op = Op::Backward { reduce: true, apply: true };
pub const SHAPE: Shape = Shape::channels_first(6, 12, &[8, 8]);
/// Little: the default and a few others.
pub const SHORT: Duration = Duration::from_millis(50);

pub fn layer(context: &Context) -> BatchNorm {
    layer_in(context, &descriptor(SHAPE.features()), &state(SHAPE.features(), 1101))
}

fn tune(work: impl Into<Work>) -> Tuned {
    gpu().tune(&layer(&Context::new(&gpu().device)), Tune::new(SHAPE, work).budget(SHORT)).unwrap()
}

pub fn device() -> String {
    Wisdom::device_name(&gpu().device)
}

pub fn known(plan: PlanRequest) -> WisdomEntry {
    let time = Duration::from_micros(1);
    WisdomEntry::new(plan, time, time, time)
}

#[test]
fn every_work_is_measured() {
    let mut residual = Epilogue::default();
    (residual.activation, residual.residual) = (Activation::Relu, true);
    let training = Work::from(TRAINING);
    let backward = Work::from(BACKWARD);
    for work in [
        training,
        training.storage(StorageType::Float16).epilogue(residual),
        training.mask(MaskKind::Lengths).guard(true).commit(true),
        training.virtual_batch(Some(4)),
        training.separate_vectors(true),
        Op::Training { update_running: false }.into(),
        Op::Evaluation.into(),
        Work::from(Op::Evaluation).mask(MaskKind::Positions).storage(StorageType::BFloat16),
        backward,
        Op::Backward { reduce: true, apply: false }.into(),
        Op::Backward { reduce: false, apply: true }.into(),
        backward.epilogue(residual).residual_gradient(ResidualGradient::Add).mask(MaskKind::Positions),
    ] {
        let tuned = tune(work);
        let default = Plan::new(Context::new(&gpu().device).profile(), work, SHAPE, PlanRequest::default());
        assert_eq!(tuned.default().plans, [default.unwrap().request()], "{work:?}");
        for timing in tuned.ranking() {
            assert!(timing.runs > 0 && timing.median > Duration::ZERO, "{work:?}: {timing:?}");
        }
        assert!(tuned.regret() >= 1.0 && tuned.backward_request().is_none(), "{tuned}");
        let entry = tuned.wisdom().get(&device(), SHAPE, work).unwrap();
        assert_eq!((entry.plan, entry.median), (tuned.request(), tuned.best().median), "{work:?}");
        assert_eq!(tuned.wisdom().len(), 1);
    }
}

#[test]
fn a_step_is_two_plans() {
    let norm = layer(&Context::new(&gpu().device));
    let tuned = gpu().tune(&norm, Tune::step(SHAPE, TRAINING).budget(SHORT)).unwrap();
    let wisdom = tuned.wisdom();
    let plan = |op| wisdom.get(&device(), SHAPE, op).unwrap().plan;
    assert_eq!((plan(TRAINING), Some(plan(BACKWARD))), (tuned.request(), tuned.backward_request()));
    let text = tuned.to_string();
    assert!(text.starts_with("training and backward of 6 × 12 × 64 positions on "), "{text}");
    assert!(text.contains("(default)"), "{text}");
}

#[test]
fn a_layer_is_as_it_was() {
    let norm = layer(&Context::new(&gpu().device));
    let before = read_state(&norm);
    gpu().tune(&norm, Tune::step(SHAPE, TRAINING).budget(SHORT)).unwrap();
    assert_eq!(read_state(&norm), before);
}

#[test]
fn what_was_tuned_is_what_is_prepared() {
    let context = Context::new(&gpu().device);
    let norm = layer(&context);
    let tuned = gpu().tune(&norm, Tune::step(SHAPE, TRAINING).budget(Duration::from_millis(300))).unwrap();
    let text = tuned.wisdom().to_string();
    assert_eq!(context.add_wisdom(&text.parse().unwrap()), 2);
    assert_eq!(context.request(TRAINING, SHAPE), tuned.request());

    let [x, y, dy, dx] = std::array::from_fn(|_| gpu().empty(SHAPE.elements() as usize));
    let [dweight, dbias] = std::array::from_fn(|_| gpu().empty(SHAPE.features() as usize));
    let forward = norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y))).unwrap();
    assert_eq!(forward.plan().request(), tuned.request());
    let gradients = Gradients {
        dx: Some(whole(&dx)),
        dweight: Some(whole(&dweight)),
        dbias: Some(whole(&dbias)),
        accumulate: false,
    };
    let backward = prepare::backward(&norm, &forward, whole(&dy), gradients, PlanRequest::default());
    assert_eq!(Some(backward.plan().request()), tuned.backward_request());

    // The same numbers as by the text of the plan, in a context that knows nothing; and in every run.
    let (values, gradient, before) = (tensor(SHAPE, 1102), tensor(SHAPE, 1103), state(12, 1104));
    let run = |context: &Context, plan: PlanRequest| {
        train(&layer_in(context, &descriptor(12), &before), SHAPE, &values, &gradient, plan)
    };
    let bare = Context::new(&gpu().device);
    if tuned.backward_request() == Some(tuned.request()) {
        let pinned: PlanRequest = tuned.request().to_string().parse().unwrap();
        assert!(run(&context, PlanRequest::default()) == run(&bare, pinned));
    }
    assert!(run(&context, PlanRequest::default()) == run(&context, PlanRequest::default()));
}

#[test]
fn a_budget_is_kept() {
    let context = Context::new(&gpu().device);
    let norm = layer(&context);
    let zero = gpu().tune(&norm, Tune::new(SHAPE, TRAINING).budget(Duration::ZERO));
    assert_eq!(zero.unwrap_err(), TuneError::Budget);

    // However little it is, the default is measured; and nothing else.
    let least = gpu().tune(&norm, Tune::new(SHAPE, TRAINING).budget(Duration::from_nanos(1))).unwrap();
    assert!(least.ranking().len() == 1 && least.best().default, "{least}");

    // Where pipelines are built already, a second run ends in time; a slow machine gets three times as much.
    let run = |budget| gpu().tune(&norm, Tune::new(SHAPE, Op::Evaluation).budget(budget)).unwrap();
    let first = run(Duration::from_secs(10));
    let (start, budget) = (Instant::now(), Duration::from_millis(400));
    let second = run(budget);
    assert!(start.elapsed() < 3 * budget, "{:?}", start.elapsed());
    assert!(first.ranking().len() > 1 && second.ranking().len() > 1, "{first}");
}

#[test]
fn progress_is_told() {
    let told = Mutex::new(Vec::new());
    let tell = |progress: Progress| told.lock().unwrap().push(progress);
    let norm = layer(&Context::new(&gpu().device));
    let tuned = gpu().tune(&norm, Tune::new(SHAPE, TRAINING).budget(SHORT).progress(&tell)).unwrap();
    let told = told.into_inner().unwrap();
    assert_eq!(told[0].measured, 1);
    assert_eq!(told[told.len() - 1].measured, tuned.ranking().len());
    assert!(told.windows(2).all(|two| two[0].elapsed <= two[1].elapsed && two[0].best >= two[1].best));
}

#[test]
fn what_cannot_be_tuned_is_an_error() {
    let norm = layer(&Context::new(&gpu().device));
    let error = |tune: Tune<'_>| gpu().tune(&norm, tune).unwrap_err();
    for op in [Op::Moments, Op::Apply, Op::GradientSums, Op::Backward { reduce: false, apply: false }] {
        assert!(matches!(error(Tune::new(SHAPE, op)), TuneError::Work { .. }), "{op:?}");
    }
    assert!(matches!(error(Tune::step(SHAPE, Op::Evaluation)), TuneError::Work { .. }));
    assert!(error(Tune::step(SHAPE, BACKWARD)).to_string().contains("a step of backward"));
    // Another layer's features.
    let other = error(Tune::new(Shape::rows(64, 5), TRAINING));
    assert!(other.to_string().contains("the layer has 12 features"), "{other}");
    // Beyond any device.
    let huge = Shape::channels_first(1 << 20, 12, &[1 << 10, 1 << 10]);
    assert!(matches!(error(Tune::new(huge, TRAINING)), TuneError::Memory { .. } | TuneError::Plan(_)));
    // A layer that tracks nothing evaluates with the batch's statistics.
    let descriptor = wgpu_batchnorm::BatchNormDescriptor { track_running_stats: false, ..descriptor(12) };
    let untracked = BatchNorm::new(norm.context(), &descriptor).unwrap();
    let tune = |op| gpu().tune(&untracked, Tune::new(SHAPE, op).budget(SHORT));
    assert!(matches!(tune(Op::Evaluation), Err(TuneError::Work { .. })));
    assert!(tune(Op::Training { update_running: false }).is_ok() && tune(TRAINING).is_ok());
}

/// Without timestamps, by the wall clock; and without waiting.
#[test]
fn it_needs_no_timestamps_and_no_waiting() {
    let adapter = pollster::block_on(wgpu::Instance::default().request_adapter(&Default::default())).unwrap();
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
    let norm = BatchNorm::new(&Context::new(&device), &descriptor(12)).unwrap();
    let future = norm.tune(&queue, Tune::new(SHAPE, Op::Evaluation).budget(SHORT));
    // For executors with several threads.
    fn sendable<T: Send>(future: T) -> T {
        future
    }
    let tuned = pollster::block_on(sendable(future)).unwrap();
    assert!(!tuned.by_devices_clock() && tuned.to_string().contains("the wall clock"));
    assert!(tuned.default().median > Duration::ZERO);
}
