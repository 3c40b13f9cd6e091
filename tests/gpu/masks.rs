//! Statistics of valid values alone, against the CPU reference: every path, view and packet, whatever is valid.

use testkit::gpu::{gpu, values, whole};
use testkit::hard::Data;
use testkit::layer::{descriptor, layer, layer_in, read_state};
use testkit::masks::{Masked, assert_masked, assert_masked_output};
use testkit::plans::{all_plans, elementwise, paths, plans, turns};
use testkit::prepare::Gradients;
use testkit::profiles::contexts;
use testkit::random::{state, tensor};
use testkit::train::Trained;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, Evaluation, PlanRequest, Shape, Statistics, Training, cpu,
};

/// What training and backward of x and dy leave under a mask.
#[track_caller]
pub fn train_masked(
    norm: &BatchNorm,
    shape: Shape,
    [x, dy]: [&[f32]; 2],
    mask: &Masked,
    statistics: Statistics,
    plan: PlanRequest,
) -> Trained {
    let (gpu, words) = (gpu(), mask.upload());
    let [x, y, dy, dx] = [x, x, dy, x].map(|tensor| gpu.upload(tensor));
    let [dweight, dbias] = [(); 2].map(|()| gpu.empty(shape.features() as usize));
    let training =
        Training::new(whole(&x), whole(&y)).mask(mask.whole(&words)).statistics(statistics).plan(plan);
    let step = norm.prepare_training(shape, training).unwrap_or_else(|error| panic!("[{plan}]: {error}"));
    let gradients = Gradients {
        dx: Some(whole(&dx)),
        dweight: Some(whole(&dweight)),
        dbias: Some(whole(&dbias)),
        accumulate: false,
    };
    let back = norm.prepare_backward(&step, gradients.of(whole(&dy)).plan(plan)).unwrap();
    gpu.run(|pass| {
        step.record(pass);
        back.record(pass);
    })
    .unwrap();
    Trained {
        y: values(&y),
        state: read_state(norm),
        dx: values(&dx),
        dweight: values(&dweight),
        dbias: values(&dbias),
    }
}

/// Trains under the mask, whose padding is NaN, with each plan.
#[track_caller]
fn check(shape: Shape, mask: &Masked, plans: &[PlanRequest]) {
    let (d, before) = (descriptor(shape.features()), state(shape.features(), 801));
    let [x, dy] = [802, 803].map(|seed| mask.poisoned(tensor(shape, seed), shape));
    for &plan in plans {
        let what = format!("{shape}, [{plan}], {:?}", mask.kind);
        let got = train_masked(&layer(&d, &before), shape, [&x, &dy], mask, Statistics::Batch, plan);
        let (mut reference, options) = (cpu::Layer::with_state(&d, &before), cpu::Options::default());
        assert_masked(&what, &got, shape, &mut reference, [&x, &dy], &options, &mask.valid);
    }
}

/// Packets of 1, 4 and 16 in both views.
fn shapes() -> [Shape; 5] {
    [
        Shape::rows(37, 48),
        Shape::rows(65, 7),
        Shape::channels_first(6, 5, &[6, 6]),
        Shape::channels_first(3, 4, &[8, 12]),
        Shape::channels_last(5, &[3, 7], 20),
    ]
}

#[test]
fn each_path_of_every_layout() {
    for (k, shape) in shapes().into_iter().enumerate() {
        check(shape, &Masked::random(shape, 0.6, k as u64), &plans(shape));
    }
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn every_plan_of_every_layout() {
    for (k, shape) in shapes().into_iter().enumerate() {
        check(shape, &Masked::random(shape, 0.6, k as u64), &all_plans(shape));
    }
}

#[test]
fn lengths_of_every_layout() {
    for (k, shape) in shapes().into_iter().enumerate() {
        check(shape, &Masked::random_lengths(shape, 10 + k as u64), &turns(shape));
    }
    // Words that hold the ends of several examples, and examples of several words.
    for positions in [1, 2, 31, 32, 33, 100] {
        let shape = Shape::channels_last(40, &[positions], 3);
        check(shape, &Masked::random_lengths(shape, 20), &[PlanRequest::default()]);
    }
}

#[test]
fn few_values_are_valid_and_none() {
    for shape in shapes() {
        let count = shape.count() as usize;
        let one = |at: usize| (0..count).map(|i| i == at).collect::<Vec<_>>();
        for valid in [one(0), one(count / 2 + 1), one(count - 1), vec![false; count]] {
            check(shape, &Masked::positions(valid), &turns(shape));
        }
        // Two values; the others are whole splits, slices and segments without any.
        let two = (0..count).map(|i| i == count / 3 || i == count - 2).collect();
        check(shape, &Masked::positions(two), &turns(shape));
        check(shape, &Masked::lengths(shape, vec![0; shape.batch() as usize]), &turns(shape));
    }
}

#[test]
fn one_valid_value_has_no_variance() {
    for shape in [Shape::rows(37, 48), Shape::channels_first(3, 4, &[8, 12])] {
        let features = shape.features() as usize;
        let mask = Masked::positions((0..shape.count()).map(|i| i == 29).collect());
        let x = mask.poisoned(tensor(shape, 804), shape);
        // Running statistics are the batch's.
        let d = BatchNormDescriptor { momentum: Some(1.0), ..descriptor(shape.features()) };
        for plan in turns(shape) {
            let norm = layer(&d, &state(shape.features(), 805));
            let got = train_masked(&norm, shape, [&x, &x], &mask, Statistics::Batch, plan);
            assert_eq!(got.state.running_var, vec![0.0; features], "[{plan}]");
            let only = x.iter().filter(|v| !v.is_nan()).count();
            assert_eq!(only, features);
            let mut reference = cpu::Layer::with_state(&d, &state(shape.features(), 805));
            let options = cpu::Options::default();
            assert_masked("one", &got, shape, &mut reference, [&x, &x], &options, &mask.valid);
        }
    }
}

#[test]
fn all_valid_is_as_no_mask() {
    for shape in shapes() {
        let all = Masked::positions(vec![true; shape.count() as usize]);
        check(shape, &all, &turns(shape));
        check(shape, &Masked::lengths(shape, vec![u32::MAX; shape.batch() as usize]), &paths()[..1]);
        // What follows the statistics is the same to the bit.
        let (d, before) = (descriptor(shape.features()), state(shape.features(), 806));
        let (x, dy) = (tensor(shape, 807), tensor(shape, 808));
        let frozen = Statistics::Running;
        let masked =
            train_masked(&layer(&d, &before), shape, [&x, &dy], &all, frozen, PlanRequest::default());
        let norm = layer(&d, &before);
        let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
        let training = Training::new(whole(&input), whole(&output)).statistics(frozen);
        let step = norm.prepare_training(shape, training).unwrap();
        gpu().run(|pass| step.record(pass)).unwrap();
        assert!(values(&output) == masked.y, "{shape}");
    }
}

/// A large mean, of which nothing is seen before the last few examples, or of every hundredth value.
#[test]
fn a_large_mean_behind_padding() {
    for shape in [
        Shape::rows(8225, 4),
        Shape::rows(20_003, 3),
        Shape::rows(3001, 16),
        Shape::channels_first(16, 5, &[32, 32]),
        Shape::channels_first(3, 2, &[131, 77]),
    ] {
        let count = shape.count() as usize;
        let behind = |i: usize| i >= count / 2 + 7;
        let masks = [
            Masked::positions((0..count).map(behind).collect()),
            Masked::positions((0..count).map(|i| i % 101 == 57).collect()),
            Masked::positions((0..count).map(|i| behind(i) && i % 7 == 1).collect()),
        ];
        for data in [Data::LargeMean, Data::RampUp, Data::Steps] {
            for mask in &masks {
                let [x, dy] = [data, Data::Normal].map(|data| mask.poisoned(data.tensor(shape, 809), shape));
                let (d, before) = (descriptor(shape.features()), state(shape.features(), 810));
                for (profile, context) in contexts() {
                    let norm = layer_in(context, &d, &before);
                    let statistics = Statistics::Batch;
                    let got = train_masked(&norm, shape, [&x, &dy], mask, statistics, PlanRequest::default());
                    let what = format!("{data:?} in {shape}, planned for a {profile}");
                    let mut reference = cpu::Layer::with_state(&d, &before);
                    let options = cpu::Options::default();
                    assert_masked(&what, &got, shape, &mut reference, [&x, &dy], &options, &mask.valid);
                }
            }
        }
    }
}

#[test]
fn frozen_layers() {
    for shape in [Shape::rows(37, 48), Shape::channels_first(3, 4, &[8, 12])] {
        let mask = Masked::random(shape, 0.5, 30);
        let (d, before) = (descriptor(shape.features()), state(shape.features(), 811));
        let [x, dy] = [812, 813].map(|seed| mask.poisoned(tensor(shape, seed), shape));
        for plan in turns(shape) {
            let norm = layer(&d, &before);
            let got = train_masked(&norm, shape, [&x, &dy], &mask, Statistics::Running, plan);
            let mut reference = cpu::Layer::with_state(&d, &before);
            let options = cpu::Options::default().statistics(Statistics::Running);
            let what = format!("{shape}, [{plan}], frozen");
            assert_masked(&what, &got, shape, &mut reference, [&x, &dy], &options, &mask.valid);
        }
    }
}

#[test]
fn evaluation_and_its_gradient() {
    for (k, shape) in shapes().into_iter().enumerate() {
        for (mask, tracks) in [
            (Masked::random(shape, 0.5, 40 + k as u64), true),
            (Masked::random_lengths(shape, 50 + k as u64), true),
            (Masked::random(shape, 0.5, 60 + k as u64), false),
        ] {
            let d = BatchNormDescriptor { track_running_stats: tracks, ..descriptor(shape.features()) };
            let before = state(shape.features(), 814);
            let [x, dy] = [815, 816].map(|seed| mask.poisoned(tensor(shape, seed), shape));
            let reference = cpu::Layer::with_state(&d, &before);
            let options = cpu::Options::default().valid(&mask.valid);
            let want = cpu::evaluate(&x, shape, &reference, &options);
            let gradients = cpu::backward(&x, &dy, shape, &want.saved, &options);
            for plan in elementwise(shape) {
                let what = format!("{shape}, [{plan}], {:?}, evaluation", mask.kind);
                let (norm, words) = (layer(&d, &before), mask.upload());
                let [input, output] = [&x, &x].map(|x| gpu().upload(x));
                let [output_gradient, input_gradient] = [&dy, &dy].map(|dy| gpu().upload(dy));
                let evaluation =
                    Evaluation::new(whole(&input), whole(&output)).mask(mask.whole(&words)).plan(plan);
                let step = norm.prepare_evaluation(shape, evaluation).unwrap();
                let backward = Gradients { dx: Some(whole(&input_gradient)), ..Default::default() };
                let backward = backward.of(whole(&output_gradient)).plan(plan);
                let back = norm.prepare_backward(&step, backward).unwrap();
                gpu()
                    .run(|pass| {
                        step.record(pass);
                        back.record(pass);
                    })
                    .unwrap();
                assert_masked_output(&what, &values(&output), shape, &x, &mask.valid, &want);
                for (i, (got, want)) in values(&input_gradient).iter().zip(&gradients.dx).enumerate() {
                    assert!((f64::from(*got) - want).abs() <= 2e-5, "{what}: dx[{i}]: {got} for {want}");
                }
            }
        }
    }
}

/// Values whose sum is beyond float32, behind padding that fills the first packets of each invocation.
#[test]
fn huge_values_behind_padding() {
    for shape in
        [Shape::rows(40, 8), Shape::channels_first(10, 3, &[4, 4]), Shape::channels_first(9, 3, &[7])]
    {
        let (count, c) = (shape.count(), shape.features());
        let mask = Masked::positions((0..count).map(|i| i > count / 2).collect());
        let x = mask.poisoned(vec![3e38; shape.elements() as usize], shape);
        let d = BatchNormDescriptor { momentum: Some(1.0), ..descriptor(c) };
        for plan in turns(shape) {
            let norm = layer(&d, &state(c, 824));
            let got = train_masked(&norm, shape, [&x, &x], &mask, Statistics::Batch, plan);
            let (mean, var) = (&got.state.running_mean, &got.state.running_var);
            assert!(mean.iter().all(|mean| *mean == 3e38), "{shape}, [{plan}]: {mean:?}");
            assert!(var.iter().all(|var| *var == 0.0), "{shape}, [{plan}]: {var:?}");
        }
    }
}
