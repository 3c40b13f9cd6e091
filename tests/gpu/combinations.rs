//! Every choice beside every other one, in all dimensions together: what is possible is run and held against the CPU twin,
//! what is not is refused for the reason that the rule names.

use std::collections::HashSet;
use std::sync::OnceLock;

use testkit::ask::choices::{BATCHES, OF_BACKWARD, SIZES, ask};
use testkit::ask::{Ask, Asked, Batch, Mode, Refusal, refusal};
use testkit::pairwise::{drawn, pairs, pairwise};
use testkit::profiles::webgpu;
use wgpu_batchnorm::{Activation, Path, Shape, View};

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

fn check(choices: &[usize]) {
    let ask = ask(choices);
    Asked::new_in(webgpu(), ask).unwrap_or_else(|error| panic!("{ask:?}: {error}")).check();
}

/// Of the sample, in its order, those with a choice that none before them has.
fn covering() -> impl Iterator<Item = &'static Vec<usize>> {
    let mut met: HashSet<(usize, usize)> = HashSet::new();
    sample().iter().filter(move |choices| {
        let new: Vec<_> =
            choices.iter().copied().enumerate().filter(|choice| !met.contains(choice)).collect();
        met.extend(&new);
        !new.is_empty()
    })
}

#[test]
fn every_choice_runs() {
    covering().for_each(|choices| check(choices));
    for (dimension, size) in SIZES.into_iter().enumerate() {
        let missing = (0..size).find(|choice| covering().all(|choices| choices[dimension] != *choice));
        assert_eq!(missing, None, "of dimension {dimension}");
    }
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn every_two_choices_run() {
    assert!((36..80).contains(&sample().len()), "{} combinations", sample().len());
    sample().iter().for_each(|choices| check(choices));
}

/// Two choices that meet in none of the sample are possible together in none of thousands of others.
#[test]
fn every_two_choices_meet() {
    let met: HashSet<_> = sample().iter().flat_map(|choices| pairs(choices)).collect();
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
