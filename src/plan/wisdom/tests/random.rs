//! Random wisdom, and what it is made of.

use proptest::prelude::*;

use super::super::*;
use crate::plan::{
    Activation, CustomActivation, Epilogue, MaskKind, Op, Path, PreActivation, ResidualGradient, View,
};
use crate::tensor::StorageType;

fn some<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(values.to_vec())
}

pub fn shapes() -> impl Strategy<Value = Shape> {
    (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u32>(), 0..3), any::<bool>()).prop_map(
        |(batch, features, spatial, last)| match last {
            true => Shape::channels_last(batch, &spatial, features),
            false => Shape::channels_first(batch, features, &spatial),
        },
    )
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Silu,
    Activation::Gelu,
    Activation::Custom(CustomActivation { value: "return v;", derivative: "return 1.0;" }),
];

pub fn works() -> impl Strategy<Value = Work> {
    let op = some(&[
        Op::Training { update_running: true },
        Op::Evaluation,
        Op::Backward { reduce: true, apply: true },
        Op::Backward { reduce: true, apply: false },
        Op::Backward { reduce: false, apply: true },
    ]);
    let fused = (some(&ACTIVATIONS), any::<bool>(), prop::option::of(some(&[PreActivation::Recomputed])));
    let dz = prop::option::of(some(&[ResidualGradient::Write, ResidualGradient::Add]));
    let mask = prop::option::of(some(&[MaskKind::Lengths, MaskKind::Positions]));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::option::of(1u32..100));
    (op, some(&StorageType::ALL), fused, dz, mask, flags).prop_map(
        |(op, storage, (activation, residual, pre_activation), residual_gradient, mask, flags)| {
            let (separate_vectors, guard, commit, virtual_batch) = flags;
            let epilogue = Epilogue { activation, residual };
            Work {
                op,
                storage,
                epilogue,
                pre_activation,
                residual_gradient,
                separate_vectors,
                mask,
                guard,
                commit,
                virtual_batch,
            }
        },
    )
}

fn plans() -> impl Strategy<Value = PlanRequest> {
    let words = (some(&[Path::Split, Path::Cached, Path::Elementwise]), some(&[View::Rows, View::Planes]));
    let number = || prop::option::of(any::<u32>());
    (words, [number(), number(), number(), number(), number(), number()]).prop_map(
        |((path, view), [packet, workgroup, tile, splits, held, apply_splits])| PlanRequest {
            path: Some(path),
            view: Some(view),
            packet,
            workgroup,
            tile,
            splits,
            held,
            apply_splits,
            ..PlanRequest::default()
        },
    )
}

pub fn entries() -> impl Strategy<Value = WisdomEntry> {
    let time = || any::<u64>().prop_map(Duration::from_nanos);
    (plans(), time(), time(), time())
        .prop_map(|(plan, median, spread, default)| WisdomEntry::new(plan, median, spread, default))
}

pub fn wisdoms() -> impl Strategy<Value = Wisdom> {
    let row = ("[ -~é\n\t]{0,20}", shapes(), works(), entries());
    prop::collection::vec(row, 0..20).prop_map(|rows| {
        let mut wisdom = Wisdom::new();
        for (device, shape, work, entry) in rows {
            assert!(wisdom.insert(&device, shape, work, entry));
        }
        wisdom
    })
}
