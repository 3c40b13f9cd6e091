//! The table of kernels: for each its file, what it binds and how, and what its workgroups reduce. WGSL declarations,
//! bind-group layouts and entries all come from it.

use super::fused::Fused;
use super::role::Role::{self, *};
use crate::plan::Kernel;
use crate::tensor::Aliasing;
use Access::{Read, Write};

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Read,
    /// Written, and perhaps read too.
    Write,
}

/// What a workgroup reduces: a struct of WGSL, the function that merges two of them, the one that loads a split's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub name: &'static str,
    pub merge: &'static str,
    pub load: &'static str,
}

const MOMENTS: Option<Item> =
    Some(Item { name: "Moments", merge: "merge_moments", load: "partial_moments_at" });
const SUMS: Option<Item> = Some(Item { name: "Sums", merge: "add_sums", load: "partial_sums_at" });

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The file in shaders/.
    pub file: &'static str,
    /// The entry point; the file's name, but where that is a built-in function of WGSL.
    pub entry: &'static str,
    pub item: Option<Item>,
    /// What it binds.
    pub bindings: &'static [(Role, Access)],
    /// What it binds by what is fused into it.
    pub optional: &'static [(Role, Access)],
    /// The tensor that is read, and the one that may take its place.
    pub in_place: Option<(Role, Role)>,
}

/// What kernels bind that only read x.
const MASKED: &[(Role, Access)] = &[(Mask, Read)];
/// What kernels bind that move running statistics, and see no tensor.
const GUARDED: &[(Role, Access)] = &[(Skipped, Write), (Commit, Read)];
/// What forward kernels bind that write y.
const EPILOGUE: &[(Role, Access)] = &[(Mask, Read), (Residual, Read)];
/// The same of those that move running statistics.
const GUARDED_EPILOGUE: &[(Role, Access)] =
    &[(Mask, Read), (Residual, Read), (Skipped, Write), (Commit, Read)];
/// What backward kernels bind that only read tensors.
const DERIVATIVE: &[(Role, Access)] = &[(Mask, Read), (Residual, Read), (Output, Read)];
/// What backward kernels bind that write tensors.
const GRADIENTS: &[(Role, Access)] =
    &[(Mask, Read), (Residual, Read), (Output, Read), (InputGradient, Write), (ResidualGradient, Write)];
/// The same of the one that needs no x by itself.
const FROZEN_GRADIENTS: &[(Role, Access)] = &[
    (Mask, Read),
    (Input, Read),
    (Residual, Read),
    (Output, Read),
    (InputGradient, Write),
    (ResidualGradient, Write),
];

impl Entry {
    /// Whether it binds a vector of the layer.
    pub fn binds_layer(&self) -> bool {
        self.bindings.iter().any(|(role, _)| role.of_layer().is_some())
    }

    /// Whether it may bind this by what is fused into it.
    pub fn takes(&self, role: Role) -> bool {
        self.optional.iter().any(|(optional, _)| *optional == role)
    }

    /// Whether it writes gradients of tensors.
    pub fn writes_gradients(&self) -> bool {
        self.takes(ResidualGradient)
    }

    /// What it binds with this fused into it.
    pub fn bindings_with(&self, fused: &Fused) -> impl Iterator<Item = (Role, Access)> {
        let optional = self.optional.iter().filter(|(role, _)| fused.binds(*role));
        self.bindings.iter().chain(optional).copied()
    }

    /// The tensor that is read, and the one that takes its place under an aliasing.
    pub fn replaced(&self, aliasing: Aliasing) -> Option<(Role, Role)> {
        match aliasing {
            Aliasing::Disjoint | Aliasing::SameBuffer => None,
            Aliasing::InPlace => self.in_place,
            Aliasing::ResidualInPlace if self.writes_gradients() => Some((OutputGradient, ResidualGradient)),
            Aliasing::ResidualInPlace => Some((Residual, Output)),
        }
    }

    /// How what it writes may lie to what it reads: only what it writes into a buffer of the caller's may lie in one that
    /// it reads.
    pub fn aliasings(&self, fused: &Fused) -> Vec<Aliasing> {
        let all: Vec<_> = self.bindings_with(fused).collect();
        let reads = all.iter().any(|(_, access)| *access == Read);
        let writes = |&(role, access): &_| access == Write && !matches!(role, Partials | Means | Mask);
        let bound = |role| all.iter().any(|(bound, _)| *bound == role);
        let shares = reads && all.iter().any(writes);
        let replaces =
            |aliasing| self.replaced(aliasing).is_some_and(|(read, written)| bound(read) && bound(written));
        let both = [Aliasing::InPlace, Aliasing::ResidualInPlace].into_iter().filter(|&a| replaces(a));
        let shares = shares.then_some(Aliasing::SameBuffer);
        [Aliasing::Disjoint].into_iter().chain(shares).chain(both).collect()
    }
}

/// What finishes a feature in training forward.
macro_rules! finish {
    ($($more:expr),*) => {
        &[
            $($more,)*
            (Weight, Read),
            (Bias, Read),
            (RunningMean, Write),
            (RunningVar, Write),
            (Batches, Write),
            (Saved, Write),
        ]
    };
}

impl Kernel {
    pub fn row(self) -> Entry {
        let (file, item, bindings, in_place): (_, _, &'static [_], _) = match self {
            Kernel::MaskOfLengths => ("mask_of_lengths", None, &[(Lengths, Read), (Mask, Write)], None),
            Kernel::SplitMoments => ("split_moments", MOMENTS, &[(Input, Read), (Partials, Write)], None),
            Kernel::Finalize => ("finalize", MOMENTS, finish!((Partials, Write)), None),
            Kernel::Normalize => {
                ("normalize", None, &[(Input, Read), (Output, Write), (Saved, Read)], Some((Input, Output)))
            }
            Kernel::Evaluate => (
                "evaluate",
                None,
                &[
                    (Input, Read),
                    (Output, Write),
                    (Weight, Read),
                    (Bias, Read),
                    (RunningMean, Read),
                    (RunningVar, Read),
                    (Saved, Write),
                ],
                Some((Input, Output)),
            ),
            Kernel::Cached => {
                ("cached", MOMENTS, finish!((Input, Read), (Output, Write)), Some((Input, Output)))
            }
            Kernel::Persistent => {
                ("persistent", MOMENTS, finish!((Input, Read), (Output, Write)), Some((Input, Output)))
            }
            Kernel::SplitSums => (
                "split_sums",
                SUMS,
                &[(Input, Read), (OutputGradient, Read), (Saved, Read), (Partials, Write)],
                None,
            ),
            Kernel::FinalizeGradients => (
                "finalize_gradients",
                SUMS,
                &[
                    (Saved, Read),
                    (Partials, Write),
                    (Means, Write),
                    (WeightGradient, Write),
                    (BiasGradient, Write),
                ],
                None,
            ),
            Kernel::InputGradient => (
                "input_gradient",
                None,
                &[(Input, Read), (OutputGradient, Read), (Saved, Read), (Means, Read)],
                Some((OutputGradient, InputGradient)),
            ),
            Kernel::CachedGradient => gradient_row("cached_gradient"),
            Kernel::PersistentGradient => gradient_row("persistent_gradient"),
            Kernel::FrozenGradient => (
                "frozen_gradient",
                None,
                &[(OutputGradient, Read), (Saved, Read)],
                Some((OutputGradient, InputGradient)),
            ),
            Kernel::GatherMoments => ("gather_moments", MOMENTS, &[(Partials, Write), (Record, Write)], None),
            Kernel::GatherSums => ("gather_sums", SUMS, &[(Partials, Write), (Record, Write)], None),
        };
        let entry = if file == "normalize" { "normalize_tensor" } else { file };
        Entry { file, entry, item, bindings, optional: self.optional(), in_place }
    }

    fn optional(self) -> &'static [(Role, Access)] {
        match self {
            Kernel::SplitMoments => MASKED,
            Kernel::Finalize => GUARDED,
            Kernel::Normalize | Kernel::Evaluate => EPILOGUE,
            Kernel::Cached | Kernel::Persistent => GUARDED_EPILOGUE,
            Kernel::SplitSums => DERIVATIVE,
            Kernel::InputGradient | Kernel::CachedGradient | Kernel::PersistentGradient => GRADIENTS,
            Kernel::FrozenGradient => FROZEN_GRADIENTS,
            Kernel::MaskOfLengths
            | Kernel::GatherMoments
            | Kernel::GatherSums
            | Kernel::FinalizeGradients => &[],
        }
    }
}

type Row = (&'static str, Option<Item>, &'static [(Role, Access)], Option<(Role, Role)>);

/// Backward in one dispatch.
fn gradient_row(file: &'static str) -> Row {
    (
        file,
        SUMS,
        &[
            (Input, Read),
            (OutputGradient, Read),
            (Saved, Read),
            (WeightGradient, Write),
            (BiasGradient, Write),
        ],
        Some((OutputGradient, InputGradient)),
    )
}
