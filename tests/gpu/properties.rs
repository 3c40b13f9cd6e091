//! Any shape with any options, against the CPU twin.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestError, TestRunner};
use testkit::ask::choices::{self, SIZES};
use testkit::ask::numbers::Numbers;
use testkit::ask::{ACTIVATIONS, Ask, Asked, Batch, refusal};
use testkit::profiles::webgpu;

use crate::combinations;

fn numbers() -> impl Strategy<Value = Numbers> {
    let slope = select(&[0.01f32, 0.5, 2.0][..]);
    let flag = prop_oneof![Just(0), Just(1), any::<u32>()];
    (1u32..24, 1u32..20, 1u32..12, 1u32..8, 1u32..6, 1u32..4, flag, slope, any::<u32>()).prop_map(
        |(batch, slots, packets, virtual_batch, splits, offset, flag, slope, seed)| Numbers {
            batch,
            slots,
            packets,
            virtual_batch,
            splits,
            offset: 256 * offset,
            flag,
            slope,
            seed: seed.into(),
        },
    )
}

/// Any numbers with the choices of one of the sample in which every two choices meet, whose shaders other tests build too.
fn asks() -> impl Strategy<Value = Ask> {
    let of = |(index, numbers): (Index, Numbers)| {
        let choices: &Vec<usize> = index.get(combinations::sample());
        numbers.of(choices::ask(choices))
    };
    (any::<Index>(), numbers()).prop_filter_map("a step that there is", of)
}

/// Any choices, on the workgroups of the sample or the plan that is chosen by default.
fn any_asks() -> impl Strategy<Value = Ask> {
    let choices: Vec<_> = SIZES.iter().map(|&size| 0..size).collect();
    let of = |(choices, activation, default, numbers): (Vec<usize>, _, bool, Numbers)| {
        let ask = numbers.of(Ask { activation, ..choices::ask(&choices) })?;
        let ask = if default { Ask { plan: Default::default(), ..ask } } else { ask };
        refusal(&ask, webgpu().profile().max_storage_buffers).is_none().then_some(ask)
    };
    (choices, select(&ACTIVATIONS[..]), any::<bool>(), numbers()).prop_filter_map("a step that there is", of)
}

#[track_caller]
fn check(ask: Ask) {
    Asked::new_in(webgpu(), ask).unwrap_or_else(|error| panic!("{ask:?}: {error}")).check();
}

/// So many cases, or what PROPTEST_CASES says.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn any_numbers_match_the_reference(ask in asks()) {
        check(ask);
    }
}

proptest! {
    // Each builds shaders of its own.
    #![proptest_config(config(12))]

    #[test]
    fn any_choices_match_the_reference(ask in any_asks()) {
        check(ask);
    }
}

/// A case that fails is made smaller, to one that can be read: here, where a mask and a guard are what is wrong.
#[test]
fn failures_shrink() {
    let fails = |ask: Ask| {
        prop_assert!(ask.mask.is_none() || !ask.guard || ask.shape.batch() < 5);
        Ok(())
    };
    let Err(TestError::Fail(_, ask)) = TestRunner::deterministic().run(&asks(), fails) else {
        panic!("required a case that fails")
    };
    assert!(ask.shape.batch() <= 5 || ask.batch == Batch::Ranges, "{ask:?}");
    assert!((ask.seed, ask.offset) == (0, 256) && ask.shape.features() <= 16, "{ask:?}");
}
