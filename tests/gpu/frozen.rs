//! Where running statistics normalized, dx is dy times a constant: nothing that stands in x may reach it.

use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer};
use testkit::plans::{elementwise, of_path, plans};
use testkit::prepare::{self, Choices, Gradients};
use testkit::random::{state, tensor};
use wgpu_batchnorm::{Path, PlanRequest, Shape, Statistics};

/// The forward steps that running statistics normalize.
#[derive(Clone, Copy, Debug)]
enum Forward {
    Evaluation,
    Frozen,
    /// The batch still moves the running statistics.
    FrozenButTracking,
}

const FORWARDS: [Forward; 3] = [Forward::Evaluation, Forward::Frozen, Forward::FrozenButTracking];

fn shapes() -> [Shape; 3] {
    [Shape::rows(50, 8), Shape::channels_first(6, 5, &[4, 4]), Shape::channels_first(6, 5, &[3, 3])]
}

/// x with what float32 statistics cannot take: in one place, in one feature, everywhere.
fn spoiled(x: &[f32]) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    for value in [f32::NAN, f32::INFINITY, f32::MAX, -1e30] {
        let mut one = x.to_vec();
        one[x.len() / 2] = value;
        all.push((format!("one {value:e}"), one));
        all.push((format!("only {value:e}"), vec![value; x.len()]));
    }
    all
}

/// The bits of dx, with or without the gradients of weight and bias.
#[track_caller]
fn dx_bits(shape: Shape, x: &[f32], forward: Forward, plan: PlanRequest, learns: bool) -> Vec<u32> {
    let dy = tensor(shape, 342);
    let norm = layer(&descriptor(shape.features()), &state(shape.features(), 343));
    let (xb, y, dyb, dx) = (gpu().upload(x), gpu().empty(x.len()), gpu().upload(&dy), gpu().empty(x.len()));
    let [dweight, dbias] = std::array::from_fn(|_| gpu().empty(shape.features() as usize));
    let choices =
        |update_running| Choices { statistics: Statistics::Running, update_running, ..Default::default() };
    let training = |update| prepare::training(&norm, shape, whole(&xb), whole(&y), choices(update));
    let step = match forward {
        Forward::Evaluation => {
            prepare::evaluation(&norm, shape, whole(&xb), whole(&y), PlanRequest::default())
        }
        Forward::Frozen => training(false),
        Forward::FrozenButTracking => training(true),
    };
    let gradients = Gradients {
        dx: Some(whole(&dx)),
        dweight: learns.then(|| whole(&dweight)),
        dbias: learns.then(|| whole(&dbias)),
        accumulate: false,
    };
    let back = prepare::backward(&norm, &step, whole(&dyb), gradients, plan);
    assert_eq!(back.plan().path() == Path::Elementwise, !learns, "{}", back.plan());
    gpu()
        .run(|pass| {
            step.record(pass);
            back.record(pass);
        })
        .unwrap();
    values(&dx).into_iter().map(f32::to_bits).collect()
}

#[test]
fn dx_of_a_frozen_step_depends_on_dy_alone() {
    for shape in shapes() {
        let x = tensor(shape, 341);
        let spoiled = spoiled(&x);
        let want = dx_bits(shape, &x, Forward::Evaluation, PlanRequest::default(), false);
        assert!(want.iter().all(|bits| f32::from_bits(*bits).is_finite()));
        for forward in FORWARDS {
            for (what, x) in &spoiled {
                let what = format!("{forward:?} of {shape}, {what}");
                let got = dx_bits(shape, x, forward, PlanRequest::default(), false);
                assert!(got == want, "{what}, elementwise");
            }
        }
        for plan in plans(shape) {
            let forward = FORWARDS[plan.workgroup.unwrap_or(0) as usize % 3];
            for (what, x) in &spoiled[..5] {
                let got = dx_bits(shape, x, forward, plan, true);
                assert!(got == want, "{forward:?} of {shape}, {what}, [{plan}]");
            }
        }
    }
}

#[test]
fn every_path_of_a_frozen_step_gives_the_same_dx() {
    for shape in shapes() {
        let x = vec![f32::NAN; shape.elements() as usize];
        let want = dx_bits(shape, &tensor(shape, 341), Forward::Frozen, PlanRequest::default(), false);
        for path in [Path::Cached, Path::Persistent, Path::Split] {
            for forward in FORWARDS {
                let plan = of_path(path);
                assert!(dx_bits(shape, &x, forward, plan, true) == want, "{forward:?} of {shape}, {path}");
            }
        }
        for plan in elementwise(shape) {
            assert!(dx_bits(shape, &x, Forward::Frozen, plan, false) == want, "{shape}, [{plan}]");
        }
    }
}
