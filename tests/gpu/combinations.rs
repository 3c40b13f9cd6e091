//! Every choice beside every other one, in all dimensions together: what is possible is run and held against the CPU twin,
//! what is not is refused for the reason that the rule names.

use std::collections::HashSet;
use std::sync::OnceLock;

use testkit::ask::{Ask, Asked, Batch, CUSTOM, Mode, PLACEMENTS, Refusal, Wanted, refusal};
use testkit::pairwise::{drawn, pairs, pairwise};
use testkit::profiles::webgpu;
use wgpu_batchnorm::{Activation, MaskKind, Path, PlanRequest, PreActivation, Shape, StorageType, View};

const VIEWS: [View; 2] = [View::Planes, View::Rows];
const PACKETS: [u32; 4] = [1, 4, 8, 16];
const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Silu,
    Activation::Gelu,
    CUSTOM,
];
const MASKS: [Option<MaskKind>; 3] = [None, Some(MaskKind::Lengths), Some(MaskKind::Positions)];
const BATCHES: [Batch; 4] = [Batch::Whole, Batch::Ranges, Batch::Virtual(0), Batch::Parts];
/// A guard, and a flag.
const GUARDS: [(bool, Option<u32>); 4] = [(false, None), (true, None), (true, Some(1)), (false, Some(0))];
const PATHS: [Path; 5] = [Path::Cached, Path::Persistent, Path::Split, Path::Elementwise, Path::Reduce];
const MODES: [Mode; 3] = [Mode::Training, Mode::Frozen, Mode::Evaluation];
const WANTED: [Wanted; 6] = [
    Wanted { dx: true, dz: false, learns: true },
    Wanted { dx: true, dz: true, learns: true },
    Wanted { dx: false, dz: true, learns: true },
    Wanted { dx: false, dz: true, learns: false },
    Wanted { dx: true, dz: true, learns: false },
    Wanted { dx: false, dz: false, learns: true },
];
const BY: [Option<PreActivation>; 3] =
    [None, Some(PreActivation::Recomputed), Some(PreActivation::SignOfOutput)];

/// Choices in each dimension. The last three are of backward alone.
pub const SIZES: [usize; 14] = [
    VIEWS.len(),
    PACKETS.len(),
    StorageType::ALL.len(),
    PLACEMENTS.len(),
    ACTIVATIONS.len(),
    2,
    MASKS.len(),
    BATCHES.len(),
    GUARDS.len(),
    PATHS.len(),
    MODES.len(),
    WANTED.len(),
    BY.len(),
    2,
];
const OF_BACKWARD: usize = 11;

/// A shape of a view and packet width: its last tile, slice and virtual batch are not full, and an invocation can hold its
/// share of a feature.
fn shape(view: View, packet: u32, batch: Batch) -> (Shape, Batch) {
    let in_ranges = batch == Batch::Ranges;
    let (shape, examples) = match view {
        View::Rows => (Shape::rows(if in_ranges { 150 } else { 15 }, 5 * packet), 4),
        _ => (Shape::channels_first(if in_ranges { 133 } else { 5 }, 5, &[3 * packet]), 2),
    };
    (shape, if let Batch::Virtual(_) = batch { Batch::Virtual(examples) } else { batch })
}

/// What a combination of choices asks for, possible or not.
pub fn ask(choices: &[usize]) -> Ask {
    let (view, packet, path) = (VIEWS[choices[0]], PACKETS[choices[1]], PATHS[choices[9]]);
    let (shape, batch) = shape(view, packet, BATCHES[choices[7]]);
    let plan = PlanRequest::new().path(path).view(view).packet(packet).workgroup(8).tile(2);
    let (guard, flag) = GUARDS[choices[8]];
    Ask {
        storage: StorageType::ALL[choices[2]],
        placement: PLACEMENTS[choices[3]],
        mask: MASKS[choices[6]],
        batch,
        guard,
        flag,
        mode: MODES[choices[10]],
        wanted: WANTED[choices[11]],
        by: BY[choices[12]],
        accumulate: choices[13] == 1,
        plan: match path {
            Path::Persistent => plan.held(4),
            Path::Split | Path::Reduce => plan.splits(3),
            _ => plan,
        },
        ..Ask::new(shape, ACTIVATIONS[choices[4]], choices[5] == 1)
    }
}

fn reason(ask: &Ask) -> Option<Refusal> {
    refusal(ask, webgpu().profile().max_storage_buffers)
}

/// Combinations that are possible, simple ones first.
pub fn sample() -> &'static [Vec<usize>] {
    static SAMPLE: OnceLock<Vec<Vec<usize>>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let mut sample = pairwise(&drawn(&SIZES, |choices| reason(&ask(choices)).is_none(), 31));
        sample.sort_by_key(|choices| choices.iter().sum::<usize>());
        sample
    })
}

/// Each runs; and two choices that meet in none of them are possible together in none of thousands of others.
#[test]
fn every_two_choices_meet() {
    let mut met = HashSet::new();
    assert!((36..80).contains(&sample().len()), "{} combinations", sample().len());
    for choices in sample() {
        let ask = ask(choices);
        let asked = Asked::new_in(webgpu(), ask).unwrap_or_else(|error| panic!("{ask:?}: {error}"));
        asked.check();
        met.extend(pairs(choices));
    }
    let others = drawn(&SIZES, |choices| reason(&ask(choices)).is_none(), 32);
    let missing = others.iter().flat_map(|choices| pairs(choices)).find(|pair| !met.contains(pair));
    assert_eq!(missing, None, "of {} combinations", sample().len());
}

/// Whole numbers, of which none is lost or counted twice: every combination whose results are exact where running statistics
/// normalize, on tensors with more packets to a slice than the levels of a sum.
#[test]
fn no_value_is_lost() {
    let exact = |activation: Activation| match activation {
        Activation::Identity | Activation::Relu => Some(activation),
        Activation::LeakyRelu { .. } => Some(Activation::LeakyRelu { slope: 0.5 }),
        _ => None,
    };
    let mut batches = HashSet::new();
    for choices in sample() {
        let ask = ask(choices);
        let Some(activation) = exact(ask.activation) else { continue };
        let mode = if ask.mode == Mode::Training { Mode::Frozen } else { ask.mode };
        let packet = ask.plan.packet.expect("it is fixed");
        let shape = match (ask.plan.path, ask.plan.view) {
            (Some(Path::Persistent), _) => ask.shape,
            (_, Some(View::Rows)) => Shape::rows(2203, 5 * packet),
            _ => Shape::channels_first(149, 5, &[15 * packet]),
        };
        let batch =
            if let Batch::Virtual(_) = ask.batch { Batch::Virtual(shape.batch() / 2 + 3) } else { ask.batch };
        let ask = Ask { shape, activation, mode, batch, exact: true, ..ask };
        Asked::new_in(webgpu(), ask).unwrap_or_else(|error| panic!("{ask:?}: {error}")).check();
        batches.insert(choices[7]);
    }
    assert_eq!(batches.len(), BATCHES.len());
}

/// Combinations that differ from one that is possible in a choice, by which they are refused: in forward, or for the same
/// forward step in backward. Of these too, each two choices that meet in one are tried, those that meet nowhere else among
/// them; and each reason.
#[test]
fn what_is_refused_says_why() {
    let change = |choices: &Vec<usize>, dimension: usize, choice: usize| {
        let mut changed = choices.clone();
        changed[dimension] = choice;
        changed
    };
    let others = |choices: &'static Vec<usize>| {
        (0..SIZES.len()).flat_map(move |d| (0..SIZES[d]).map(move |choice| (d, change(choices, d, choice))))
    };
    let is_refused = |(dimension, choices): &(usize, Vec<usize>)| {
        let ask = ask(choices);
        ask.refusal_of_forward().is_some() || (*dimension >= OF_BACKWARD && reason(&ask).is_some())
    };
    let refused: Vec<_> =
        sample().iter().flat_map(others).filter(is_refused).map(|(_, choices)| choices).collect();
    let (mut reasons, mut tried) = (HashSet::new(), HashSet::new());
    let of_reason = |wanted| refused.iter().find(|choices| reason(&ask(choices)) == Some(wanted)).cloned();
    for choices in pairwise(&refused).into_iter().chain(Refusal::ALL.into_iter().filter_map(of_reason)) {
        let ask = ask(&choices);
        let reason = reason(&ask).expect("it is refused");
        let error = match Asked::new_in(webgpu(), ask) {
            Ok(_) => panic!("{ask:?}: required {reason:?}"),
            Err(error) => error,
        };
        assert!(reason.is(&error), "{ask:?}: required {reason:?}, given {error}");
        reasons.insert(reason);
        tried.extend(pairs(&choices));
    }
    assert_eq!(reasons, Refusal::ALL.into(), "each reason is met");
    let met: HashSet<_> = sample().iter().flat_map(|choices| pairs(choices)).collect();
    let all = drawn(&SIZES, |_| true, 33);
    let forgotten = all
        .iter()
        .flat_map(|choices| pairs(choices))
        .find(|pair| !met.contains(pair) && !tried.contains(pair));
    assert_eq!(forgotten, None, "neither run nor refused");
}
