//! The words that plans are made of: what is to be done, by which way, with which kernels.

use super::stage::{MOMENTS_VECTORS, SUMS_VECTORS};

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Batch statistics, then y.
    Training {
        /// Whether running statistics move and the batch is counted.
        update_running: bool,
    },
    /// Running statistics, then y.
    Evaluation,
    /// Gradients.
    Backward {
        /// Sums over the batch: for the gradients of weight and bias, and for dx where batch statistics normalized.
        reduce: bool,
        /// dx.
        apply: bool,
    },
    /// The moments of a part of a batch, merged into a record.
    Moments,
    /// Saved statistics, from records of moments.
    Finalize {
        /// How many records.
        records: u32,
        /// Whether running statistics move and the batch is counted.
        update_running: bool,
    },
    /// y of a part of a batch, from saved statistics.
    Apply,
    /// The gradient sums of a part of a batch, added to a record.
    GradientSums,
    /// The gradients of weight and bias, from records of gradient sums.
    FinalizeGradients {
        /// How many records.
        records: u32,
    },
    /// dx of a part of a batch, from finalized gradient sums.
    InputGradient,
}

impl Op {
    /// Whether it needs sums over the batch.
    pub(crate) fn reduces(self) -> bool {
        matches!(
            self,
            Op::Training { .. } | Op::Backward { reduce: true, .. } | Op::Moments | Op::GradientSums
        )
    }

    /// Whether it writes a tensor.
    pub(crate) fn applies(self) -> bool {
        let alone = matches!(self, Op::Evaluation | Op::Apply | Op::InputGradient);
        alone || matches!(self, Op::Training { .. } | Op::Backward { apply: true, .. })
    }

    pub(crate) fn is_backward(self) -> bool {
        matches!(self, Op::Backward { .. } | Op::GradientSums | Op::InputGradient)
    }

    /// Whether it is backward and needs x̂.
    pub(crate) fn reads_input(self) -> bool {
        self.is_backward() && (self.reduces() || self == Op::InputGradient)
    }

    /// Whether it saves statistics.
    pub(crate) fn saves(self) -> bool {
        matches!(self, Op::Training { .. } | Op::Evaluation | Op::Finalize { .. })
    }

    /// Records that it merges, where it works on these and on no tensor.
    pub(crate) fn records(self) -> u32 {
        match self {
            Op::Finalize { records, .. } | Op::FinalizeGradients { records } => records,
            _ => 0,
        }
    }

    /// Vectors of C values left by each split.
    pub(crate) fn partial_vectors(self) -> u64 {
        match self {
            Op::Backward { .. } | Op::GradientSums | Op::FinalizeGradients { .. } | Op::InputGradient => {
                SUMS_VECTORS
            }
            _ => MOMENTS_VECTORS,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Training { .. } => "training",
            Op::Evaluation => "evaluation",
            Op::Backward { .. } => "backward",
            Op::Moments => "moments",
            Op::Finalize { .. } => "finalize",
            Op::Apply => "apply",
            Op::GradientSums => "gradient sums",
            Op::FinalizeGradients { .. } => "finalize gradients",
            Op::InputGradient => "input gradient",
        }
    }
}

/// Enums that print as a word, and are read back from it.
macro_rules! words {
    ($type:ident: $($variant:ident $word:literal),*) => {
        impl $type {
            const WORDS: &[(Self, &str)] = &[$(($type::$variant, $word)),*];

            pub(crate) fn parse(word: &str) -> Option<Self> {
                Self::WORDS.iter().find(|(_, name)| *name == word).map(|(value, _)| *value)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $($type::$variant => $word),*
                })
            }
        }
    };
}

/// The way through the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// One dispatch that needs no sums over the batch.
    Elementwise,
    /// One dispatch: each workgroup holds all values of its features in registers, and reads them once.
    Persistent,
    /// One dispatch: each workgroup takes all values of its features, and at best finds them in a cache when it reads
    /// them a second time.
    Cached,
    /// Features are split over workgroups: one dispatch to reduce, one to merge, one to apply.
    Split,
    /// Two dispatches, to reduce and to merge: backward without dx.
    Reduce,
    /// No value is read: the batch is empty (one dispatch counts it, or writes zero gradients), or nothing is wanted.
    Empty,
}

impl Path {
    /// Whether splits leave partial results that are merged.
    pub(crate) fn leaves_partials(self) -> bool {
        matches!(self, Path::Split | Path::Reduce)
    }
}

words!(Path: Elementwise "elementwise", Persistent "persistent", Cached "cached", Split "split", Reduce "reduce", Empty "empty");

/// How workgroups see the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum View {
    /// A workgroup reads planes of one feature, or of a few on software adapters; for tensors with more than one
    /// position between features.
    Planes,
    /// A workgroup reads a tile of features side by side; for tensors whose features are their last axis.
    Rows,
}

words!(View: Planes "planes", Rows "rows");

/// The kernels, each the entry point of a file in shaders/.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    MaskOfLengths,
    SplitMoments,
    Finalize,
    Normalize,
    Evaluate,
    Cached,
    Persistent,
    SplitSums,
    FinalizeGradients,
    InputGradient,
    CachedGradient,
    PersistentGradient,
    FrozenGradient,
    GatherMoments,
    GatherSums,
}

impl Kernel {
    pub const ALL: [Kernel; 15] = [
        Kernel::MaskOfLengths,
        Kernel::SplitMoments,
        Kernel::Finalize,
        Kernel::Normalize,
        Kernel::Evaluate,
        Kernel::Cached,
        Kernel::Persistent,
        Kernel::SplitSums,
        Kernel::FinalizeGradients,
        Kernel::InputGradient,
        Kernel::CachedGradient,
        Kernel::PersistentGradient,
        Kernel::FrozenGradient,
        Kernel::GatherMoments,
        Kernel::GatherSums,
    ];

    /// Whether it merges what was reduced.
    pub fn merges(self) -> bool {
        matches!(
            self,
            Kernel::Finalize | Kernel::FinalizeGradients | Kernel::GatherMoments | Kernel::GatherSums
        )
    }

    /// Whether it writes a tensor after others have reduced it.
    pub fn applies_last(self) -> bool {
        matches!(self, Kernel::Normalize | Kernel::InputGradient)
    }

    /// Whether it goes over the tensor: only then has it a view.
    pub fn sees_tensor(self) -> bool {
        !self.merges() && self != Kernel::MaskOfLengths
    }

    pub fn is_backward(self) -> bool {
        use Kernel::*;
        matches!(
            self,
            SplitSums
                | FinalizeGradients
                | InputGradient
                | CachedGradient
                | PersistentGradient
                | FrozenGradient
        )
    }

    /// Whether it holds all that it reads.
    pub fn holds(self) -> bool {
        matches!(self, Kernel::Persistent | Kernel::PersistentGradient)
    }
}
