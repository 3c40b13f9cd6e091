//! One device for all tests; a layer run once; the measures of error.

use std::sync::OnceLock;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, Context, Evaluation, Path, PlanRequest, Shape, State,
    Statistics, Training, View, cpu,
};

/// The tolerance of y, y_eval, running_mean and running_var.
pub const FORWARD: f64 = 5e-7;
/// The tolerance of dx, dweight and dbias.
pub const BACKWARD: f64 = 1e-6;

pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let gpu = Gpu::new().unwrap_or_else(|error| panic!("these tests need a device: {error}"));
        eprintln!("adapter: {}", gpu.describe());
        gpu
    })
}

pub fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::new(&gpu().device))
}

pub fn descriptor(features: u32) -> BatchNormDescriptor<'static> {
    BatchNormDescriptor { features, ..Default::default() }
}

pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Values whose features differ in mean and spread, in the shape's layout.
pub fn tensor(shape: Shape, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed);
    let features = shape.features() as usize;
    let affine: Vec<(f32, f32)> =
        (0..features).map(|_| (rng.random_range(-3.0..3.0), rng.random_range(0.5..2.0))).collect();
    (0..shape.elements() as usize)
        .map(|i| {
            let (mean, spread) = affine[feature_of(shape, i)];
            let z: f32 = StandardNormal.sample(&mut rng);
            z * spread + mean
        })
        .collect()
}

/// The feature that element `i` is of.
pub fn feature_of(shape: Shape, i: usize) -> usize {
    let features = shape.features() as usize;
    let inner = if is_last(shape) { 1 } else { shape.positions() as usize };
    i / inner % features
}

fn is_last(shape: Shape) -> bool {
    shape == Shape::channels_last(shape.batch(), &[shape.positions() as u32], shape.features())
}

pub fn state(features: u32, seed: u64) -> State {
    let mut rng = rng(seed ^ 0x5eed);
    let mut draw = |low, high| (0..features).map(|_| rng.random_range(low..high)).collect::<Vec<f32>>();
    State {
        weight: draw(0.5, 1.5),
        bias: draw(-1.0, 1.0),
        running_mean: draw(-1.0, 1.0),
        running_var: draw(0.2, 3.0),
        num_batches_tracked: 0,
    }
}

/// A layer with the state's vectors that it has.
pub fn layer(descriptor: &BatchNormDescriptor<'_>, state: &State) -> BatchNorm {
    layer_in(context(), descriptor, state)
}

/// The same in another context of the device.
pub fn layer_in(context: &Context, descriptor: &BatchNormDescriptor<'_>, state: &State) -> BatchNorm {
    let norm = BatchNorm::new(context, descriptor).unwrap();
    norm.set_state(&gpu().queue, &cut(descriptor, state)).unwrap();
    norm
}

/// What a layer like this has of the state.
pub fn cut(descriptor: &BatchNormDescriptor<'_>, state: &State) -> State {
    let keep = |has, vector: &Vec<f32>| if has { vector.clone() } else { vec![] };
    State {
        weight: keep(descriptor.weight, &state.weight),
        bias: keep(descriptor.bias, &state.bias),
        running_mean: keep(descriptor.track_running_stats, &state.running_mean),
        running_var: keep(descriptor.track_running_stats, &state.running_var),
        num_batches_tracked: state.num_batches_tracked,
    }
}

pub fn read_state(norm: &BatchNorm) -> State {
    pollster::block_on(norm.read_state(&gpu().queue)).unwrap()
}

/// What a training step and its backward leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub y: Vec<f32>,
    pub state: State,
    pub dx: Vec<f32>,
    pub dweight: Vec<f32>,
    pub dbias: Vec<f32>,
}

/// One training step and its backward, in buffers of their own.
pub fn train(norm: &BatchNorm, shape: Shape, x: &[f32], dy: &[f32], plan: PlanRequest) -> Trained {
    let gpu = gpu();
    let (input, output) = (gpu.upload(x), gpu.empty(x.len()));
    let step = norm
        .prepare_training(
            shape,
            Training {
                plan,
                ..Training::new(input.as_entire_buffer_binding(), output.as_entire_buffer_binding())
            },
        )
        .unwrap();
    let (dy, dx) = (gpu.upload(dy), gpu.empty(x.len()));
    let features = shape.features() as usize;
    let (dweight, dbias) = (gpu.empty(features), gpu.empty(features));
    let back = norm
        .prepare_backward(
            shape,
            &step,
            Backward {
                input_gradient: Some(dx.as_entire_buffer_binding()),
                weight_gradient: norm.weight().map(|_| dweight.as_entire_buffer_binding()),
                bias_gradient: norm.bias().map(|_| dbias.as_entire_buffer_binding()),
                plan,
                ..Backward::new(input.as_entire_buffer_binding(), dy.as_entire_buffer_binding())
            },
        )
        .unwrap();
    gpu.run(|pass| {
        step.record(pass);
        back.record(pass);
    })
    .unwrap();
    let get = |buffer| gpu.download(buffer).unwrap();
    Trained {
        y: get(&output),
        state: read_state(norm),
        dx: get(&dx),
        dweight: get(&dweight),
        dbias: get(&dbias),
    }
}

/// One evaluation, in buffers of their own.
pub fn evaluate(norm: &BatchNorm, shape: Shape, x: &[f32], plan: PlanRequest) -> Vec<f32> {
    let gpu = gpu();
    let (input, output) = (gpu.upload(x), gpu.empty(x.len()));
    let evaluation = Evaluation {
        plan,
        ..Evaluation::new(input.as_entire_buffer_binding(), output.as_entire_buffer_binding())
    };
    let step = norm.prepare_evaluation(shape, evaluation).unwrap();
    gpu.run(|pass| step.record(pass)).unwrap();
    gpu.download(&output).unwrap()
}

/// Every plan a shape can take: all paths, views, widths, and several workgroups and splits.
pub fn plans(shape: Shape) -> Vec<PlanRequest> {
    let views: &[View] =
        if is_last(shape) || shape.positions() == 1 { &[View::Rows, View::Planes] } else { &[View::Planes] };
    let mut all = vec![PlanRequest::default()];
    for &view in views {
        let inner = if is_last(shape) { 1 } else { shape.positions() };
        let row = if view == View::Rows { shape.features().into() } else { inner };
        for width in [1u32, 4, 16].into_iter().filter(|&w| row % u64::from(w) == 0) {
            let mut add = |path, lanes, chunks| {
                let (path, view, width, lanes) = (Some(path), Some(view), Some(width), Some(lanes));
                all.push(PlanRequest { path, view, width, lanes, chunks });
            };
            for lanes in [1, 8, 64] {
                add(Path::Resident, lanes, None);
                for chunks in [None, Some(1), Some(3)] {
                    add(Path::Split, lanes, chunks);
                }
            }
            for lanes in [8, 32, 256].into_iter().filter(|&lanes| holds(shape, view, width, lanes)) {
                add(Path::Held, lanes, None);
            }
        }
    }
    all
}

/// Whether a workgroup has registers and workgroup memory to hold its features.
fn holds(shape: Shape, view: View, width: u32, lanes: u32) -> bool {
    let (columns, loads) = if view == View::Rows {
        (shape.features() / width, shape.count())
    } else {
        (1, shape.count() / u64::from(width))
    };
    let walkers = lanes / columns.next_power_of_two().min(lanes);
    loads <= 16 * u64::from(walkers) && (width <= 4 || lanes <= 32)
}

/// Fails where a value is further from the truth than the tolerance times the scale.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f64], scale: impl Fn(usize) -> f64, tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs() / scale(i);
        assert!(
            error <= tolerance,
            "{what}[{i}]: {got} for {want}, scaled error {error:.2e} > {tolerance:e}"
        );
    }
}

pub fn max_abs(values: &[f64]) -> f64 {
    values.iter().fold(f64::MIN_POSITIVE, |max, v| max.max(v.abs()))
}

/// Holds a training step and its backward against the CPU reference.
#[track_caller]
pub fn assert_trained(what: &str, got: &Trained, shape: Shape, before: &cpu::Layer, x: &[f32], dy: &[f32]) {
    let mut after = before.clone();
    let tracks = before.descriptor.track_running_stats;
    let (y, record) = cpu::resident(x, shape, &mut after, Statistics::Batch, tracks);
    let y_scale = max_abs(&y);
    assert_close(&format!("{what}: y"), &got.y, &y, |_| y_scale, FORWARD);
    assert_state(what, &got.state, &after);

    let (dx, sums) = cpu::backward_resident(x, dy, shape, &record, Statistics::Batch);
    let mut magnitude = vec![(0.0f64, 0.0f64); record.len()];
    let mut dx_scale = f64::MIN_POSITIVE;
    for i in 0..x.len() {
        let c = feature_of(shape, i);
        let (g, r) = (f64::from(dy[i]), record[c]);
        magnitude[c].0 += g.abs();
        magnitude[c].1 += (g * (f64::from(x[i]) - r.mean) * r.invstd).abs();
        dx_scale = dx_scale.max((r.weight * r.invstd * g).abs());
    }
    assert_close(&format!("{what}: dx"), &got.dx, &dx, |_| dx_scale, BACKWARD);
    let (dbias, dweight): (Vec<f64>, Vec<f64>) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
    if before.descriptor.weight {
        assert_close(&format!("{what}: dweight"), &got.dweight, &dweight, |c| magnitude[c].1, BACKWARD);
    }
    if before.descriptor.bias {
        assert_close(&format!("{what}: dbias"), &got.dbias, &dbias, |c| magnitude[c].0, BACKWARD);
    }
}

/// Holds the running statistics against the CPU reference.
#[track_caller]
pub fn assert_state(what: &str, got: &State, want: &cpu::Layer) {
    if want.descriptor.track_running_stats {
        let mean_scale = |c: usize| want.running_mean[c].abs().max(want.running_var[c].sqrt());
        assert_close(
            &format!("{what}: running_mean"),
            &got.running_mean,
            &want.running_mean,
            mean_scale,
            FORWARD,
        );
        let var_scale = |c: usize| want.running_var[c].max(f64::from(f32::MIN_POSITIVE));
        assert_close(
            &format!("{what}: running_var"),
            &got.running_var,
            &want.running_var,
            var_scale,
            FORWARD,
        );
    }
    assert_eq!(got.num_batches_tracked, want.num_batches_tracked, "{what}: num_batches_tracked");
}
