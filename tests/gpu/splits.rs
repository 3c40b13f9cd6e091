//! Many splits of few features, dispatches folded into two dimensions, and plans that are pinned by their text.

use testkit::close::assert_trained;
use testkit::gpu::{gpu, values, whole};
use testkit::hard::Data;
use testkit::layer::{descriptor, layer_in, read_state};
use testkit::prepare::{self, Gradients};
use testkit::profiles::contexts;
use testkit::random::{state, tensor};
use testkit::train::{evaluate, train};
use wgpu_batchnorm::{Context, ContextOptions, DeviceProfile, Path, Plan, PlanRequest, Shape, State, cpu};

/// Numbers of splits, values of each, and a workgroup that makes them so many.
const SPLITS: [(u32, u32, u32); 3] = [(704, 168, 8), (5000, 24, 8), (60_000, 2, 1)];

/// Merging sums up thousands of values of about the same size: a constant dy shows sums that round the same way again and
/// again.
#[track_caller]
fn check_splits(shape: Shape, splits: u32, plan: PlanRequest) {
    let (descriptor, before) = (descriptor(shape.features()), state(shape.features(), 311));
    let x = tensor(shape, 312);
    let reference = cpu::Layer::with_state(&descriptor, &before);
    for (name, dy) in [("random", Data::Normal.tensor(shape, 313)), ("constant", vec![0.1; x.len()])] {
        for (profile, context) in contexts() {
            let norm = layer_in(context, &descriptor, &before);
            let plan = plan.path(Path::Split).packet(1).splits(splits);
            let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
            let step = prepare::training(&norm, shape, whole(&input), whole(&output), plan);
            assert_eq!(step.plan().workgroups()[0] % splits, 0, "required {splits} splits: {}", step.plan());
            let got = train(&norm, shape, &x, &dy, plan);
            let what = format!("{splits} splits of {shape}, {name} dy, planned for a {profile}");
            assert_trained(&what, &got, shape, &reference, &x, &dy);
        }
    }
}

#[test]
fn many_splits_of_rows() {
    for (splits, values, workgroup) in SPLITS {
        let plan = PlanRequest::new().workgroup(workgroup);
        check_splits(Shape::rows(splits * values, 1), splits, plan);
        check_splits(Shape::rows(splits * values, 3), splits, plan);
    }
}

#[test]
fn many_splits_of_planes() {
    for (splits, values, workgroup) in SPLITS {
        let shape = Shape::channels_first(2, 2, &[splits * values / 2]);
        check_splits(shape, splits, PlanRequest::new().workgroup(workgroup).tile(1));
    }
}

#[test]
fn folded_dispatches_give_the_same_bits() {
    let device = &gpu().device;
    let mut profile = DeviceProfile::of(device);
    profile.max_workgroups = 5;
    let folded = Context::with_options(device, ContextOptions::default().profile(profile));
    let unfolded = Context::new(device);
    for (features, workgroups) in [(5, [5, 1]), (6, [3, 2]), (21, [5, 5]), (17, [5, 4]), (11, [4, 3])] {
        let shape = Shape::channels_first(3, features, &[3]);
        let (x, dy, before) = (tensor(shape, 314), tensor(shape, 315), state(features, 316));
        for path in [Path::Cached, Path::Split] {
            let plan = PlanRequest::new().path(path).workgroup(1).splits(1);
            let run = |context| {
                let norm = layer_in(context, &descriptor(features), &before);
                train(&norm, shape, &x, &dy, plan)
            };
            assert!(run(&folded) == run(&unfolded), "{shape}, [{plan}]");
        }
        let (norm, buffer) = (layer_in(&folded, &descriptor(features), &before), gpu().upload(&x));
        let plan = PlanRequest::new().path(Path::Cached).workgroup(1);
        let step = prepare::training(&norm, shape, whole(&buffer), whole(&buffer), plan);
        assert_eq!(step.dispatches()[0].workgroups[..2], workgroups, "{features} features");
    }
}

/// What steps with these plans leave, and the plans that they took.
type Outcome = ([Plan; 4], Vec<Vec<f32>>, State);

fn outcome(context: &Context, shape: Shape, requests: [PlanRequest; 4]) -> Outcome {
    let c = shape.features();
    let (x, dy, before) = (tensor(shape, 321), tensor(shape, 322), state(c, 323));
    let norm = layer_in(context, &descriptor(c), &before);
    let [xb, dyb] = [&x, &dy].map(|values| gpu().upload(values));
    let [y, dx, evaluated] = std::array::from_fn(|_| gpu().empty(x.len()));
    let [dweight, dbias, dbias_alone] = std::array::from_fn(|_| gpu().empty(c as usize));
    let [training, backward, evaluation, reduction] = requests;
    let step = prepare::training(&norm, shape, whole(&xb), whole(&y), training);
    let (dx_bound, dweight_bound, dbias_bound) = (whole(&dx), whole(&dweight), whole(&dbias));
    let all = Gradients {
        dx: Some(dx_bound),
        dweight: Some(dweight_bound),
        dbias: Some(dbias_bound),
        accumulate: false,
    };
    let back = prepare::backward(&norm, &step, whole(&dyb), all, backward);
    let alone = Gradients { dbias: Some(whole(&dbias_alone)), ..Default::default() };
    let alone = prepare::backward(&norm, &step, whole(&dyb), alone, reduction);
    let eval = prepare::evaluation(&norm, shape, whole(&xb), whole(&evaluated), evaluation);
    gpu()
        .run(|pass| {
            eval.record(pass);
            step.record(pass);
            back.record(pass);
            alone.record(pass);
        })
        .unwrap();
    let plans = [step.plan(), back.plan(), eval.plan(), alone.plan()].map(Clone::clone);
    let tensors = [&y, &dx, &evaluated, &dweight, &dbias, &dbias_alone].map(values).to_vec();
    (plans, tensors, read_state(&norm))
}

#[test]
fn plans_pinned_by_their_text_give_the_same_bits() {
    for (profile, context) in contexts() {
        for shape in [
            Shape::rows(64, 48),
            Shape::rows(8225, 4),
            Shape::rows(20_001, 3),
            Shape::channels_first(8, 8, &[7, 7]),
            Shape::channels_first(16, 5, &[64, 64]),
            Shape::channels_first(1, 3, &[200, 203]),
        ] {
            let chosen = outcome(context, shape, [PlanRequest::default(); 4]);
            let texts = chosen.0.each_ref().map(|plan| plan.request().to_string());
            let pinned = outcome(context, shape, texts.each_ref().map(|text| text.parse().unwrap()));
            assert_eq!(pinned.0, chosen.0, "{shape}, planned for a {profile}");
            assert!(pinned == chosen, "{shape}, planned for a {profile}, {texts:?}");
            assert_eq!(evaluate_bits(context, shape, &texts[2]), chosen.1[2]);
        }
    }
}

/// The same evaluation through a layer of its own.
fn evaluate_bits(context: &Context, shape: Shape, text: &str) -> Vec<f32> {
    let norm = layer_in(context, &descriptor(shape.features()), &state(shape.features(), 323));
    evaluate(&norm, shape, &tensor(shape, 321), text.parse().unwrap())
}
