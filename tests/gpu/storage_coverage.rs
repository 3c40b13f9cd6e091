//! No 16-bit value is lost, none counted twice, and no half of a word touched that is another value's or nobody's: on every
//! path, in every view and packet width, however tensors lie to each other.

use super::coverage::{all_values, each_end};
use testkit::coverage::cases::{self, Case};
use testkit::coverage::indices::Inspector;
use testkit::coverage::rig::{Placement, Rig, Wanted, whole_numbers};
use testkit::gpu::{context, gpu};
use testkit::profiles::by_half_access;
use testkit::profiles::discrete;
use wgpu_batchnorm::{Context, Shape, StorageType, View};

const PLACEMENTS: [Placement; 3] = [Placement::Disjoint, Placement::SameBuffer, Placement::InPlace];
const VIEWS: [View; 2] = [View::Planes, View::Rows];

#[track_caller]
fn every_case(context: &Context, storage: StorageType, view: View, packet: u32, placement: Placement) {
    for case in cases::cases(view, packet) {
        let rig = Rig::new(context, case.stored(storage), Wanted::All, placement);
        all_values(&rig);
        if placement == Placement::Disjoint {
            each_end(&rig);
        }
    }
    // What is elementwise or only reduces has no path to be asked for.
    let shape = cases::cases(view, packet)[0].shape;
    let case = Case::new(shape, &format!("{} {view} packet={packet}", cases::SPLIT[0])).stored(storage);
    for wanted in [Wanted::Tensors, Wanted::Parameters] {
        all_values(&Rig::new(context, case, wanted, placement));
    }
}

/// Tensors of an odd number of values, whose last half of a word is nobody's.
#[test]
#[ignore = "exhaustive: make exhaustive"]
fn single_values() {
    let contexts = by_half_access();
    for (k, view) in VIEWS.into_iter().enumerate() {
        for placement in PLACEMENTS {
            every_case(&contexts[0].1, StorageType::Float16, view, 1, placement);
        }
        for (_, context) in &contexts[1..] {
            every_case(context, StorageType::Float16, view, 1, PLACEMENTS[2 * k]);
        }
        every_case(context(), StorageType::BFloat16, view, 1, Placement::InPlace);
    }
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn packets() {
    for view in VIEWS {
        every_case(context(), StorageType::Float16, view, 4, Placement::Disjoint);
        every_case(context(), StorageType::Float16, view, 8, Placement::SameBuffer);
        every_case(context(), StorageType::Float16, view, 16, Placement::InPlace);
        every_case(context(), StorageType::BFloat16, view, 4, Placement::InPlace);
        every_case(context(), StorageType::BFloat16, view, 8, Placement::Disjoint);
        every_case(context(), StorageType::BFloat16, view, 16, Placement::SameBuffer);
    }
}

/// Planes and rows of 7, 9 and 15 values, by default on each profile.
#[test]
fn plans_by_default() {
    for (turn, context) in [context(), discrete()].into_iter().enumerate() {
        for (k, shape) in [
            Shape::rows(2003, 15),
            Shape::rows(37, 192),
            Shape::channels_first(33, 7, &[3, 3]),
            Shape::channels_first(3, 2, &[101, 104]),
            Shape::channels_first(9, 5, &[2, 3]),
        ]
        .into_iter()
        .enumerate()
        {
            // Each shape in both types: in one of them on this profile, in the other one on the other.
            let turn = turn + k;
            let storage = [StorageType::Float16, StorageType::BFloat16][turn % 2];
            let rig =
                Rig::new(context, Case::new(shape, "").stored(storage), Wanted::All, PLACEMENTS[turn % 3]);
            all_values(&rig);
            each_end(&rig);
        }
    }
}

#[test]
fn no_index_is_out_of_range() {
    if gpu().device.limits().max_storage_buffers_per_shader_stage < 9 {
        return eprintln!("SKIPPED: counting indices takes 9 storage buffers");
    }
    let mut inspector = Inspector::default();
    let mut inspect = |context: &Context, case: Case, placement| {
        let rig = Rig::new(context, case, Wanted::All, placement);
        let elements = case.shape.elements() as usize;
        rig.reset(&whole_numbers(elements, 1), &whole_numbers(elements, 2));
        let what = format!("{case}, {placement:?}");
        inspector.check(&what, &rig.forward.dispatches());
        inspector.check(&what, &rig.backward.dispatches());
    };
    for view in VIEWS {
        for (_, context) in by_half_access() {
            for (k, placement) in [(1, Placement::Disjoint), (3, Placement::InPlace)] {
                inspect(context, cases::cases(view, 1)[k].stored(StorageType::Float16), placement);
            }
        }
        for packet in [4, 8, 16] {
            let case = cases::cases(view, packet)[3].stored(StorageType::BFloat16);
            inspect(context(), case, Placement::Disjoint);
        }
    }
}
