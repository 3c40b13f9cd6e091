//! No value is lost, none is counted twice, and nothing is touched outside of a binding: on every path, in every view and
//! packet width, however tensors lie to each other, on plans for GPUs and for software adapters.

use testkit::coverage::cases::{self, Case};
use testkit::coverage::positions::one_hot;
use testkit::coverage::rig::{Placement, Rig, Wanted, whole_numbers};
use testkit::gpu::{context, gpu, values, whole};
use testkit::layer::{descriptor, layer_in};
use testkit::plans::without_path;
use testkit::profiles::discrete;
use testkit::random::{state, tensor};
use wgpu_batchnorm::{
    Activation, Backward, Context, ContextOptions, DeviceProfile, Epilogue, Moments, PlanRequest, Shape,
    Training, View,
};

/// Runs of one value per feature, at the most.
const RUNS: usize = 8;

/// Whole numbers, whose sums a lost value changes by 1 at least.
#[track_caller]
pub fn all_values(rig: &Rig) {
    let elements = rig.shape().elements() as usize;
    rig.check(&whole_numbers(elements, 1), &whole_numbers(elements, 2));
}

/// Ones, which add up to the count; and one value of each feature, wherever something begins or ends.
#[track_caller]
pub fn each_end(rig: &Rig) {
    let shape = rig.shape();
    rig.check(&whole_numbers(shape.elements() as usize, 3), &vec![1.0; shape.elements() as usize]);
    // In float32 the mean of all zeros but for the count is 1.
    let x = one_hot(rig.forward.plan(), rig.hot(), RUNS);
    for (x, dy) in x.iter().zip(one_hot(rig.backward.plan(), 1.0, RUNS)) {
        rig.check(x, &dy);
    }
}

#[track_caller]
fn every_case(view: View, packet: u32) {
    for case in cases::cases(view, packet) {
        let rig = Rig::new(context(), case, Wanted::All, Placement::Disjoint);
        all_values(&rig);
        each_end(&rig);
    }
    // What is elementwise or only reduces has no path to be asked for.
    for plan in cases::SPLIT {
        let shape = cases::cases(view, packet)[0].shape;
        let case = Case::new(shape, &format!("{plan} {view} packet={packet}"));
        for wanted in [Wanted::Tensors, Wanted::Parameters] {
            all_values(&Rig::new(context(), case, wanted, Placement::Disjoint));
        }
    }
}

#[test]
fn planes_of_single_values() {
    every_case(View::Planes, 1);
}

#[test]
fn planes_of_packets_of_4() {
    every_case(View::Planes, 4);
}

#[test]
fn planes_of_packets_of_16() {
    every_case(View::Planes, 16);
}

#[test]
fn rows_of_single_values() {
    every_case(View::Rows, 1);
}

#[test]
fn rows_of_packets_of_4() {
    every_case(View::Rows, 4);
}

#[test]
fn rows_of_packets_of_16() {
    every_case(View::Rows, 16);
}

/// Epilogues that are exact on whole numbers.
pub fn epilogues() -> [Epilogue; 4] {
    let of = |activation, residual| {
        let mut epilogue = Epilogue::default();
        (epilogue.activation, epilogue.residual) = (activation, residual);
        epilogue
    };
    [
        of(Activation::Relu, true),
        of(Activation::LeakyRelu { slope: 0.5 }, false),
        of(Activation::Relu, false),
        of(Activation::Identity, true),
    ]
}

/// Each case of a view and packet width with an epilogue of its own.
#[test]
#[ignore = "exhaustive: make exhaustive"]
fn with_an_epilogue() {
    let mut next = epilogues().into_iter().cycle();
    for (k, (view, packet)) in
        [View::Planes, View::Rows].map(|view| [1, 4, 16].map(|p| (view, p))).concat().into_iter().enumerate()
    {
        // One more than a multiple of their number apart, so that each case meets another one in the next frame.
        next.nth(k % 2);
        for case in cases::cases(view, packet) {
            let placement = [Placement::Disjoint, Placement::SameBuffer, Placement::InPlace][k % 3];
            let rig = Rig::with_epilogue(context(), case, Wanted::All, placement, next.next().unwrap());
            all_values(&rig);
            each_end(&rig);
        }
        let shape = cases::cases(view, packet)[0].shape;
        let case = Case::new(shape, &format!("{} {view} packet={packet}", cases::SPLIT[k % 2]));
        for wanted in [Wanted::Tensors, Wanted::Parameters] {
            let epilogue = next.next().unwrap();
            all_values(&Rig::with_epilogue(context(), case, wanted, Placement::Disjoint, epilogue));
        }
    }
}

#[test]
fn in_one_buffer_and_in_place() {
    const PLACEMENTS: [Placement; 2] = [Placement::SameBuffer, Placement::InPlace];
    for (turn, view) in [View::Planes, View::Rows].into_iter().enumerate() {
        // Each case in both: in one of them in this view, in the other one in the other view.
        for (k, case) in cases::cases(view, 4).into_iter().enumerate() {
            all_values(&Rig::new(context(), case, Wanted::All, PLACEMENTS[(turn + k) % 2]));
        }
        for placement in PLACEMENTS {
            let elementwise = cases::cases(view, 4)[2];
            all_values(&Rig::new(context(), elementwise, Wanted::Tensors, placement));
        }
    }
}

#[test]
fn merges_of_many_and_of_few_splits() {
    for case in cases::many_splits().into_iter().chain(cases::few_splits()) {
        for context in [context(), discrete()] {
            let rig = Rig::new(context, case, Wanted::All, Placement::Disjoint);
            assert_eq!(rig.forward.plan().request().splits, case.plan.splits, "{case}");
            all_values(&rig);
            each_end(&rig);
        }
    }
}

/// What each profile chooses by itself: workgroups of 256 on a GPU, and merges by many invocations.
#[test]
fn plans_by_default() {
    for context in [context(), discrete()] {
        for case in [
            Case::new(Shape::rows(2003, 36), ""),
            Case::new(Shape::rows(37, 192), ""),
            Case::new(Shape::channels_first(3, 7, &[5, 5]), ""),
            Case::new(Shape::channels_first(3, 2, &[101, 104]), ""),
        ] {
            for placement in [Placement::Disjoint, Placement::InPlace] {
                let rig = Rig::new(context, case, Wanted::All, placement);
                all_values(&rig);
                each_end(&rig);
            }
        }
    }
}

/// A dispatch folded into two dimensions has more workgroups than there is work for.
#[test]
fn surplus_workgroups() {
    for case in folded_cases() {
        let context = folded();
        for wanted in [Wanted::All, Wanted::Tensors, Wanted::Parameters] {
            let rig = Rig::new(&context, case, wanted, Placement::Disjoint);
            let groups = rig.forward.plan().workgroups();
            assert!(groups.iter().all(|&groups| [5, 7].contains(&groups)), "{case}: {groups:?}");
            all_values(&rig);
        }
    }
}

/// What is added to is added to once: the gradients of parameters, and the caller's records of parts.
#[test]
fn surplus_workgroups_add_nothing() {
    let (shape, context) = (Shape::rows(61, 37), folded());
    let plan: PlanRequest = "split rows packet=1 workgroup=8 tile=8 splits=1".parse().unwrap();
    let parts = without_path(plan);
    let norm = layer_in(&context, &descriptor(37), &state(37, 341));
    let [x, dy] = [342, 343].map(|seed| gpu().upload(&tensor(shape, seed)));
    let [y, dx] = [0; 2].map(|_| gpu().empty(shape.elements() as usize));
    let forward = norm.prepare_training(shape, Training::new(whole(&x), whole(&y)).plan(plan)).unwrap();
    // Each vector once overwritten, then added to.
    let [dweight, dbias] = [0; 2].map(|_| gpu().empty(37));
    let record = gpu().empty(norm.moments_bytes() as usize / 4);
    let sums = gpu().empty(norm.gradient_sums_bytes() as usize / 4);
    let stride = norm.parameter_stride() as usize;
    let mut got = vec![];
    for accumulate in [false, true] {
        let gradients = Backward::of(whole(&dy)).accumulate(accumulate);
        let all = gradients.clone().input_gradient(whole(&dx)).weight_gradient(whole(&dweight));
        let backward = norm.prepare_backward(&forward, all.bias_gradient(whole(&dbias)).plan(plan)).unwrap();
        let moments = Moments::new(whole(&x), whole(&record)).accumulate(accumulate).plan(parts);
        let moments = norm.prepare_moments(shape, moments).unwrap();
        let sums_step = norm.prepare_gradient_sums(&forward, gradients.plan(parts), whole(&sums)).unwrap();
        let merges =
            [backward.dispatches(), moments.dispatches(), sums_step.dispatches()].map(|all| all[1].clone());
        for dispatch in merges {
            let [wide, high, _] = dispatch.workgroups;
            assert_eq!(wide * high, 6, "{}: no surplus workgroup", dispatch.label);
        }
        gpu()
            .run(|pass| {
                forward.record(pass);
                backward.record(pass);
                moments.record(pass);
                sums_step.record(pass);
            })
            .unwrap();
        let sums = values(&sums);
        got.push([
            values(&dweight),
            values(&dbias),
            values(&record)[..37].to_vec(),
            sums[..37].to_vec(),
            sums[stride..stride + 37].to_vec(),
        ]);
    }
    let twice = got[0].clone().map(|values| values.iter().map(|value| 2.0 * value).collect::<Vec<_>>());
    assert_eq!(got[1], twice);
}

/// A context whose dispatches have up to three workgroups in a dimension.
pub fn folded() -> Context {
    let mut profile = DeviceProfile::software(8);
    profile.max_workgroups = 3;
    Context::with_options(&gpu().device, ContextOptions::default().profile(profile))
}

/// Five and seven workgroups are folded into six and nine.
pub fn folded_cases() -> [Case; 4] {
    [
        Case::new(Shape::rows(61, 37), "cached rows packet=1 workgroup=8 tile=8 splits=1"),
        Case::new(Shape::rows(61, 37), "split rows packet=1 workgroup=8 tile=8 splits=1"),
        Case::new(Shape::rows(31, 37), "persistent rows packet=1 workgroup=64 tile=8 held=4 splits=1"),
        Case::new(Shape::channels_first(4, 37, &[12]), "cached planes packet=4 workgroup=8 tile=8 splits=1"),
    ]
}
