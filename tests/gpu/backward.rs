//! What backward promises beside parity: the frozen formulas, gradients left out or accumulated, sums that vanish.

use testkit::close::{assert_close, assert_gradients, assert_trained, max_abs};
use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer};
use testkit::layout::feature_of;
use testkit::plans::{some_plans, without_path};
use testkit::prepare::{self, Choices, Gradients};
use testkit::random::{state, tensor};
use testkit::scales::BACKWARD;
use testkit::train::train;
use wgpu_batchnorm::{
    BackwardStep, BatchNormDescriptor, ForwardStep, PlanRequest, Shape, Statistics, cpu, wgpu,
};

/// Buffers for all gradients.
struct Buffers {
    dx: wgpu::Buffer,
    dweight: wgpu::Buffer,
    dbias: wgpu::Buffer,
}

impl Buffers {
    fn new(shape: Shape) -> Self {
        let features = shape.features() as usize;
        let dx = gpu().empty(shape.elements() as usize);
        Self { dx, dweight: gpu().empty(features), dbias: gpu().empty(features) }
    }

    fn all(&self) -> Gradients<'_> {
        Gradients {
            dx: Some(whole(&self.dx)),
            dweight: Some(whole(&self.dweight)),
            dbias: Some(whole(&self.dbias)),
            accumulate: false,
        }
    }

    fn read(&self) -> [Vec<f32>; 3] {
        [&self.dx, &self.dweight, &self.dbias].map(values)
    }
}

fn shapes() -> [Shape; 3] {
    [Shape::rows(50, 8), Shape::channels_first(6, 5, &[4, 4]), Shape::channels_first(6, 5, &[3, 3])]
}

/// PyTorch's evaluation gradients: running statistics are constants.
#[test]
fn running_statistics_are_constants() {
    for shape in shapes() {
        let (x, dy, before) = (tensor(shape, 111), tensor(shape, 112), state(shape.features(), 113));
        let d = descriptor(shape.features());
        let cpu::Forward { saved, .. } =
            cpu::evaluate(&x, shape, &cpu::Layer::with_state(&d, &before), &cpu::Options::default());
        let norm = layer(&d, &before);
        let (xb, y, dyb) = (gpu().upload(&x), gpu().empty(x.len()), gpu().upload(&dy));
        // Through evaluation, and through a frozen layer in training.
        let default = PlanRequest::default();
        let evaluation = prepare::evaluation(&norm, shape, whole(&xb), whole(&y), default);
        let frozen = Choices { statistics: Statistics::Running, update_running: false, ..default.into() };
        let frozen = prepare::training(&norm, shape, whole(&xb), whole(&y), frozen);
        for plan in some_plans(shape) {
            let check = |forward: &ForwardStep, gradients: &Buffers, back: &BackwardStep| {
                gpu()
                    .run(|pass| {
                        forward.record(pass);
                        back.record(pass);
                    })
                    .unwrap();
                let [dx, dweight, dbias] = gradients.read();
                let got = [Some(&dx[..]), Some(&dweight[..]), Some(&dbias[..])];
                let what = format!("{shape}, [{plan}]");
                assert_gradients(&what, got, shape, [&x, &dy], &saved, &cpu::Options::default());
            };
            let gradients = Buffers::new(shape);
            let back = prepare::backward(&norm, &evaluation, whole(&dyb), gradients.all(), plan);
            check(&evaluation, &gradients, &back);
            let gradients = Buffers::new(shape);
            let back = prepare::backward(&norm, &frozen, whole(&dyb), gradients.all(), plan);
            check(&frozen, &gradients, &back);

            // dx alone needs no x.
            let alone = Gradients { dx: Some(whole(&gradients.dx)), ..Default::default() };
            let alone = prepare::backward(&norm, &evaluation, whole(&dyb), alone, without_path(plan));
            assert_eq!(alone.plan().bytes_moved(), 2 * shape.bytes());
            gpu().queue.write_buffer(&gradients.dx, 0, &vec![0; x.len() * 4]);
            gpu().run(|pass| alone.record(pass)).unwrap();
            let dx = values(&gradients.dx);
            let got = [Some(&dx[..]), None, None];
            let what = format!("{shape}, [{plan}], dx alone");
            assert_gradients(&what, got, shape, [&x, &dy], &saved, &cpu::Options::default());
        }
    }
}

/// A single dy, at the value nearest to its feature's mean, leaves dweight nearly 0 and with the error of the mean.
#[test]
fn one_hot_gradients() {
    for shape in shapes() {
        let (x, before) = (tensor(shape, 121), state(shape.features(), 122));
        let d = descriptor(shape.features());
        let reference = cpu::Layer::with_state(&d, &before);
        let cpu::Forward { saved, .. } =
            cpu::train(&x, shape, &mut reference.clone(), &cpu::Options::default().update_running(false));
        let distance = |i: &usize| (f64::from(x[*i]) - saved[feature_of(shape, *i)].mean).abs();
        let nearest = (0..x.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
        let mut dy = vec![0.0; x.len()];
        dy[nearest] = 3.0;
        for plan in some_plans(shape) {
            let got = train(&layer(&d, &before), shape, &x, &dy, plan);
            assert_trained(&format!("{shape}, [{plan}]"), &got, shape, &reference, &x, &dy);
        }
    }
}

#[test]
fn gradients_can_be_left_out_and_accumulated() {
    for shape in shapes() {
        let c = shape.features() as usize;
        let (x, dy, before) = (tensor(shape, 114), tensor(shape, 115), state(shape.features(), 116));
        let norm = layer(&descriptor(shape.features()), &before);
        for plan in some_plans(shape) {
            let want = train(&norm, shape, &x, &dy, plan);
            let (xb, y, dyb) = (gpu().upload(&x), gpu().empty(x.len()), gpu().upload(&dy));
            let step = prepare::training(&norm, shape, whole(&xb), whole(&y), plan);
            for (want_dx, want_dweight, want_dbias) in [
                (true, false, false),
                (false, true, true),
                (false, false, true),
                (false, false, false),
                (true, true, false),
            ] {
                let (dx, dweight, dbias) =
                    (gpu().empty(x.len()), gpu().upload(&vec![1.5; c]), gpu().upload(&vec![-2.5; c]));
                let gradients = Gradients {
                    dx: want_dx.then(|| whole(&dx)),
                    dweight: want_dweight.then(|| whole(&dweight)),
                    dbias: want_dbias.then(|| whole(&dbias)),
                    accumulate: true,
                };
                let plan = if want_dx { plan } else { without_path(plan) };
                let back = prepare::backward(&norm, &step, whole(&dyb), gradients, plan);
                gpu()
                    .run(|pass| {
                        step.record(pass);
                        back.record(pass);
                    })
                    .unwrap();
                let what = format!("{shape}, [{plan}], {want_dx} {want_dweight} {want_dbias}");
                let dx_want = if want_dx { want.dx.clone() } else { vec![0.0; x.len()] };
                assert!(values(&dx) == dx_want, "{what}");
                let added = |start: f32, wanted: bool, gradient: &[f32]| -> Vec<f64> {
                    gradient
                        .iter()
                        .map(|g| f64::from(start) + if wanted { f64::from(*g) } else { 0.0 })
                        .collect()
                };
                let tolerance = |values: &[f64]| max_abs(values);
                let dweight_want = added(1.5, want_dweight, &want.dweight);
                let got = values(&dweight);
                assert_close(&what, &got, &dweight_want, |_| tolerance(&dweight_want), BACKWARD);
                let dbias_want = added(-2.5, want_dbias, &want.dbias);
                let got = values(&dbias);
                assert_close(&what, &got, &dbias_want, |_| tolerance(&dbias_want), BACKWARD);
            }
        }
    }
}

/// Batch statistics make y blind to shift and scale of x, so dx has no part along 1 and along x̂.
#[test]
fn the_sums_of_dx_and_of_dx_xhat_vanish() {
    for shape in shapes() {
        let (x, dy, before) = (tensor(shape, 117), tensor(shape, 118), state(shape.features(), 119));
        let d = BatchNormDescriptor { eps: 1e-12, ..descriptor(shape.features()) };
        let cpu::Forward { saved, .. } = cpu::train(
            &x,
            shape,
            &mut cpu::Layer::with_state(&d, &before),
            &cpu::Options::default().update_running(false),
        );
        for plan in some_plans(shape) {
            let got = train(&layer(&d, &before), shape, &x, &dy, plan);
            let mut sums = vec![(0.0f64, 0.0f64, 0.0f64); saved.len()];
            for (i, dx) in got.dx.iter().enumerate() {
                let feature = feature_of(shape, i);
                let xhat = (f64::from(x[i]) - saved[feature].mean) * saved[feature].invstd;
                let s = &mut sums[feature];
                *s = (s.0 + f64::from(*dx), s.1 + f64::from(*dx) * xhat, s.2 + f64::from(*dx).abs());
            }
            for (along_1, along_xhat, magnitude) in sums {
                assert!(along_1.abs() <= 1e-6 * magnitude, "{shape}, [{plan}]: {along_1} of {magnitude}");
                assert!(
                    along_xhat.abs() <= 1e-6 * magnitude,
                    "{shape}, [{plan}]: {along_xhat} of {magnitude}"
                );
            }
        }
    }
}

#[test]
fn an_empty_batch_has_zero_gradients() {
    let norm = layer(&descriptor(6), &state(6, 120));
    let (empty, dweight, dbias) = (gpu().empty(4), gpu().upload(&[9.0; 6]), gpu().upload(&[9.0; 6]));
    let shape = Shape::rows(0, 6);
    let plan = PlanRequest::default();
    let step = prepare::training(&norm, shape, whole(&empty), whole(&empty), plan);
    let gradients = Gradients {
        dweight: Some(whole(&dweight)),
        dbias: Some(whole(&dbias)),
        dx: Some(whole(&empty)),
        accumulate: false,
    };
    let back = prepare::backward(&norm, &step, whole(&empty), gradients, plan);
    gpu()
        .run(|pass| {
            step.record(pass);
            back.record(pass);
        })
        .unwrap();
    assert_eq!(values(&dweight), [0.0; 6]);
    assert_eq!(values(&dbias), [0.0; 6]);
}
