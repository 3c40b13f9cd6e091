//! No index is out of range, of a buffer or of workgroup memory, in any workgroup, and there is no race in workgroup memory:
//! read off the kernels as they run, since no software adapter punishes either.

use super::coverage::{epilogues, folded, folded_cases};
use testkit::coverage::cases::{self, CACHED, Case, PERSISTENT, SPLIT};
use testkit::coverage::indices::{Inspector, instrumented};
use testkit::coverage::races;
use testkit::coverage::rig::{Placement, Rig, Wanted, whole_numbers};
use testkit::gpu::{context, gpu, whole};
use testkit::masks::Masked;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, Context, ContextOptions, DeviceProfile, Evaluation, Finalize,
    FinalizeGradients, Moments, PlanRequest, Shape, Training, View,
};

/// Whether the device binds one buffer more than the layer does, whose vectors are apart here.
fn has_room() -> bool {
    let limit = gpu().device.limits().max_storage_buffers_per_shader_stage;
    if limit < 10 {
        eprintln!("SKIPPED: counting indices takes 10 storage buffers, the adapter binds {limit}");
    }
    limit >= 10
}

#[track_caller]
fn inspect(inspector: &mut Inspector, context: &Context, case: Case, wanted: Wanted, placement: Placement) {
    let rig = Rig::new(context, case, wanted, placement);
    inspect_rig(inspector, &rig, &format!("{case}, {wanted:?}, {placement:?}"));
}

#[track_caller]
fn inspect_rig(inspector: &mut Inspector, rig: &Rig, what: &str) {
    let elements = rig.shape().elements() as usize;
    rig.reset(&whole_numbers(elements, 1), &whole_numbers(elements, 2));
    inspector.check(what, &rig.forward.dispatches());
    inspector.check(what, &rig.backward.dispatches());
}

/// Every kernel: what is elementwise, and what only reduces, too.
#[track_caller]
fn inspect_all(inspector: &mut Inspector, context: &Context, case: Case) {
    for wanted in [Wanted::All, Wanted::Tensors, Wanted::Parameters] {
        inspect(inspector, context, case, wanted, Placement::Disjoint);
    }
}

#[test]
fn every_path() {
    if !has_room() {
        return;
    }
    let mut inspector = Inspector::default();
    for view in [View::Planes, View::Rows] {
        for case in cases::cases(view, 4) {
            inspect(&mut inspector, context(), case, Wanted::All, Placement::Disjoint);
        }
        let single = cases::cases(view, 1)[0];
        inspect(&mut inspector, context(), single, Wanted::All, Placement::InPlace);
    }
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn with_an_epilogue() {
    if !has_room() {
        return;
    }
    let mut inspector = Inspector::default();
    for view in [View::Planes, View::Rows] {
        for (case, epilogue) in cases::cases(view, 4).into_iter().zip(epilogues().into_iter().cycle()) {
            for wanted in [Wanted::All, Wanted::Tensors] {
                let rig = Rig::with_epilogue(context(), case, wanted, Placement::Disjoint, epilogue);
                inspect_rig(&mut inspector, &rig, &format!("{case}, {wanted:?}, {epilogue:?}"));
            }
        }
    }
}

/// Pieces of a tensor begin and end anywhere in what is bound; records are the caller's.
#[test]
fn pieces_and_parts() {
    if !has_room() {
        return;
    }
    let device = &gpu().device;
    let mut profile = DeviceProfile::of(device);
    profile.max_binding = 16_384;
    profile.alignment = profile.alignment.max(256);
    let small = Context::with_options(device, ContextOptions::default().profile(profile));
    let mut inspector = Inspector::default();
    for shape in [
        Shape::rows(1500, 7),
        Shape::rows(400, 16),
        Shape::channels_first(150, 5, &[15]),
        Shape::channels_last(1, &[500], 12),
    ] {
        let c = shape.features();
        let norm =
            BatchNorm::new(&small, &BatchNormDescriptor { features: c, ..Default::default() }).unwrap();
        let [x, y, dy, dx] = [0; 4].map(|_| gpu().empty(shape.elements() as usize));
        let request = PlanRequest::new().splits(2);
        let training = || Training::new(whole(&x), whole(&y)).plan(request);
        let backward = || Backward::of(whole(&dy)).input_gradient(whole(&dx)).plan(request);
        for training in [training(), training().virtual_batch(shape.batch().div_ceil(3).max(1))] {
            let step = norm.prepare_training(shape, training).unwrap();
            assert!(step.plan().pieces() > 1, "{}", step.plan());
            inspector.check(&format!("{shape}"), &step.dispatches());
            let step = norm.prepare_backward(&step, backward()).unwrap();
            inspector.check(&format!("{shape}"), &step.dispatches());
        }
        let record = gpu().empty(norm.moments_bytes() as usize / 4);
        let sums = gpu().empty(norm.gradient_sums_bytes() as usize / 4);
        let moments = Moments::new(whole(&x), whole(&record)).accumulate(true).plan(request);
        let moments = norm.prepare_moments(shape, moments).unwrap();
        let finalize = norm.prepare_finalize(Finalize::new(whole(&record), 1)).unwrap();
        let tensors = Evaluation::new(whole(&x), whole(&y));
        let apply = norm.prepare_apply(&finalize, shape, tensors).unwrap();
        let back = Backward::of(whole(&dy)).accumulate(true).plan(request);
        let back = norm.prepare_gradient_sums(&apply, back, whole(&sums)).unwrap();
        let gradients = FinalizeGradients::new(whole(&sums), 1);
        let gradients = norm.prepare_finalize_gradients(&finalize, gradients).unwrap();
        let last = Backward::of(whole(&dy)).input_gradient(whole(&dx));
        let last = norm.prepare_input_gradient(&apply, &gradients, last).unwrap();
        let dispatches = [
            moments.dispatches(),
            finalize.dispatches(),
            apply.dispatches(),
            back.dispatches(),
            gradients.dispatches(),
            last.dispatches(),
        ];
        inspector.check(&format!("{shape} in parts"), &dispatches.concat());
    }
}

/// The last tile of 192 features has idle invocations, in packets of 4 and of 16, on a GPU and on a software adapter.
#[test]
fn a_last_tile_that_is_not_full() {
    if !has_room() {
        return;
    }
    let device = &gpu().device;
    let discrete =
        Context::with_options(device, ContextOptions::default().profile(DeviceProfile::discrete()));
    let mut inspector = Inspector::default();
    for plan in ["packet=4 workgroup=64 tile=32", "packet=16 workgroup=8 tile=8"] {
        for context in [context(), &discrete] {
            inspect_all(&mut inspector, context, Case::new(Shape::rows(37, 192), plan));
        }
    }
    let held = Case::new(Shape::rows(8, 192), "persistent packet=4 workgroup=64 tile=32 held=4");
    inspect(&mut inspector, context(), held, Wanted::All, Placement::Disjoint);
    // Without its output, backward makes anew what the activation was given, from the saved statistics.
    let [_, leaky, ..] = epilogues();
    for path in ["cached", "split splits=2"] {
        let case = Case::new(Shape::rows(37, 192), &format!("{path} packet=4 workgroup=64 tile=32"));
        let rig = Rig::with_epilogue(context(), case, Wanted::All, Placement::Disjoint, leaky);
        inspect_rig(&mut inspector, &rig, &format!("{case}, {leaky:?}"));
    }
}

/// A mask of whole words, whose last packet is the last of a word.
#[test]
fn with_a_mask() {
    if !has_room() {
        return;
    }
    let (shape, mut inspector) = (Shape::channels_first(8, 5, &[28]), Inspector::default());
    for path in [CACHED[0], SPLIT[0], PERSISTENT[0]] {
        let case = Case::new(shape, &format!("{path} planes packet=4"));
        let mask = Masked::random(shape, 0.7, 361);
        let rig = Rig::with_mask(context(), case, Wanted::All, Placement::Disjoint, mask);
        inspect_rig(&mut inspector, &rig, &format!("{case}, masked"));
    }
}

#[test]
fn surplus_workgroups() {
    if !has_room() {
        return;
    }
    let (mut inspector, context) = (Inspector::default(), folded());
    for case in folded_cases() {
        inspect_all(&mut inspector, &context, case);
    }
}

/// Arrays of an invocation's own are not counted. Loops over them are unrolled before a device sees them, all by constants
/// within the array; but for one, which adds up what is left of a packet.
#[test]
fn arrays_of_packets_quads_and_statistics_are_walked_by_constants() {
    let shaders = wgpu_batchnorm::shaders();
    for (name, source) in &shaders {
        let bounds = ["AHEAD;", "QUADS;", "STATS;"];
        let of = |line: &&str| line.starts_with("for ") && bounds.iter().any(|bound| line.contains(bound));
        let loops: Vec<_> = source.lines().map(str::trim).filter(of).collect();
        let known = "for (var k = s + STATS; k < QUADS; k += STATS) {";
        assert!(loops.iter().all(|line| *line == known), "{name}: {loops:?}");
    }
}

#[test]
fn an_index_out_of_range_is_counted() {
    let source = "@group(0) @binding(1) var<storage, read> bias: array<f32>;\n\
                  var<workgroup> shared_items: array<f32, SHARED>;\n\
                  fn f() { let a = bias[at(0u, i)] + other.bias[1] + shared_items[a[0]][s]; }";
    let (text, names) = instrumented(source);
    assert_eq!(names, ["bias", "shared_items", races::NAME]);
    assert!(text.contains("bias[inside(at(0u, i), arrayLength(&bias), 0u)] + other.bias[1]"), "{text}");
    assert!(text.contains("shared_items[read_item(inside(a[0], SHARED, 1u))][s]"), "{text}");
}
