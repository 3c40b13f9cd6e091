//! No index is out of range, of a buffer or of workgroup memory, in any workgroup: read off the kernels as they run, since
//! no software adapter punishes such an index.

use super::coverage::{epilogues, folded, folded_cases};
use testkit::coverage::cases::{self, Case};
use testkit::coverage::indices::{Inspector, instrumented};
use testkit::coverage::rig::{Placement, Rig, Wanted, whole_numbers};
use testkit::gpu::{context, gpu};
use wgpu_batchnorm::{Context, ContextOptions, DeviceProfile, Shape, View};

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

#[test]
fn an_index_out_of_range_is_counted() {
    let source = "@group(0) @binding(1) var<storage, read> bias: array<f32>;\n\
                  var<workgroup> shared_items: array<f32, WORKGROUP>;\n\
                  fn f() { let a = bias[at(0u, i)] + other.bias[1] + shared_items[a[0]][s]; }";
    let (text, names) = instrumented(source);
    assert_eq!(names, ["bias", "shared_items"]);
    assert!(text.contains("bias[inside(at(0u, i), arrayLength(&bias), 0u)] + other.bias[1]"), "{text}");
    assert!(text.contains("shared_items[inside(a[0], WORKGROUP, 1u)][s]"), "{text}");
}
