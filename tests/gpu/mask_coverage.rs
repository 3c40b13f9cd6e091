//! No valid value is lost, none counted twice, and nothing of padding, which is NaN, is used: exact results under masks, on
//! every path, in every view, packet width, storage type, epilogue and placement, each two of which meet.

use super::coverage::{all_values, each_end};
use testkit::coverage::cases::{self, Case};
use testkit::coverage::indices::Inspector;
use testkit::coverage::rig::{Placement, Rig, Wanted, whole_numbers};
use testkit::gpu::{context, gpu};
use testkit::masks::Masked;
use testkit::pairwise::sample;
use wgpu_batchnorm::{Activation, Epilogue, Shape, StorageType, View};

const VIEWS: [View; 2] = [View::Planes, View::Rows];
const PACKETS: [u32; 4] = [1, 4, 8, 16];
const PLACEMENTS: [Placement; 3] = [Placement::Disjoint, Placement::SameBuffer, Placement::InPlace];
const WANTED: [Wanted; 3] = [Wanted::All, Wanted::Tensors, Wanted::Parameters];

fn epilogue(choice: usize) -> Epilogue {
    let mut epilogue = Epilogue::default();
    let activations = [Activation::Identity, Activation::Relu, Activation::LeakyRelu { slope: 0.5 }];
    (epilogue.activation, epilogue.residual) = (activations[choice], choice == 1);
    epilogue
}

fn mask(shape: Shape, choice: usize) -> Masked {
    let count = shape.count();
    match choice {
        0 => Masked::random(shape, 0.5, 11),
        1 => Masked::random_lengths(shape, 12),
        // Whole splits, slices and segments without a valid value, and some with one.
        2 => Masked::positions((0..count).map(|i| i % 331 == 7 || i == count - 1).collect()),
        _ => Masked::positions((0..count).map(|i| i > count / 2 + 3).collect()),
    }
}

/// A case of these choices, if there is one.
fn case(choices: &[usize]) -> Option<Case> {
    let (view, packet, storage) = (VIEWS[choices[0]], PACKETS[choices[1]], StorageType::ALL[choices[3]]);
    let possible = packet != 8 || storage != StorageType::Float32;
    possible.then(|| cases::cases(view, packet)[choices[2]].stored(storage))
}

fn rig(choices: &[usize]) -> Option<Rig> {
    let case = case(choices)?;
    let (placement, wanted) = (PLACEMENTS[choices[4]], WANTED[choices[5]]);
    let mask = mask(case.shape, choices[7]);
    Some(Rig::with(context(), case, wanted, placement, epilogue(choices[6]), Some(mask)))
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn each_choice_beside_each_other() {
    let sizes = [VIEWS.len(), PACKETS.len(), 5, 3, PLACEMENTS.len(), WANTED.len(), 3, 4];
    // dz has a place of its own, whatever dx does; y in the place of x keeps no residual's sign.
    let sample = sample(&sizes, |choices| case(choices).is_some());
    assert!((20..60).contains(&sample.len()), "{}", sample.len());
    for choices in sample {
        let rig = rig(&choices).expect("it is possible");
        all_values(&rig);
        if choices[5] == 0 && choices[6] == 0 {
            each_end(&rig);
        }
    }
}

/// Counts: with dy = 1, the gradient of the bias is the number of valid values.
#[test]
fn ones_add_up_to_the_count() {
    for shape in [Shape::rows(4329, 20), Shape::channels_first(117, 3, &[148])] {
        for choice in 0..4 {
            let rig = Rig::with_mask(
                context(),
                Case::new(shape, ""),
                Wanted::All,
                Placement::Disjoint,
                mask(shape, choice),
            );
            let elements = shape.elements() as usize;
            rig.check(&whole_numbers(elements, 3), &vec![1.0; elements]);
        }
    }
}

/// Every index into a mask, and into lengths, is in range: where words, examples and packets end unevenly.
#[test]
#[ignore = "exhaustive: make exhaustive"]
fn indices_into_masks() {
    let limit = gpu().device.limits().max_storage_buffers_per_shader_stage;
    if limit < 11 {
        eprintln!("SKIPPED: counting indices takes 11 storage buffers, the adapter binds {limit}");
        return;
    }
    let mut inspector = Inspector::default();
    for (k, (view, packet)) in VIEWS.into_iter().flat_map(|view| [1, 4, 16].map(|p| (view, p))).enumerate() {
        for (choice, case) in
            cases::cases(view, packet).into_iter().enumerate().filter(|(i, _)| i % 2 == k % 2)
        {
            let wanted = if choice == 4 { Wanted::All } else { WANTED[(k + choice) % 3] };
            let mask = mask(case.shape, 1 - choice % 2);
            let rig = Rig::with_mask(context(), case, wanted, Placement::Disjoint, mask);
            let elements = case.shape.elements() as usize;
            rig.reset(&whole_numbers(elements, 1), &whole_numbers(elements, 2));
            let what = format!("{case}, {wanted:?}");
            inspector.check(&what, &rig.forward.dispatches());
            inspector.check(&what, &rig.backward.dispatches());
        }
    }
}
