//! The words that plans are made of: what is to be done, by which way, with which kernels.

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
}

impl Op {
    /// Whether it needs sums over the batch.
    pub(crate) fn reduces(self) -> bool {
        !matches!(self, Op::Evaluation | Op::Backward { reduce: false, .. })
    }

    /// Whether it writes a tensor.
    pub(crate) fn applies(self) -> bool {
        !matches!(self, Op::Backward { apply: false, .. })
    }

    pub(crate) fn is_backward(self) -> bool {
        matches!(self, Op::Backward { .. })
    }

    /// Vectors of C values left by each split: count, mean pair and variance, or two sums.
    pub(crate) fn partial_vectors(self) -> u64 {
        if self.is_backward() { 2 } else { 4 }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Training { .. } => "training",
            Op::Evaluation => "evaluation",
            Op::Backward { .. } => "backward",
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
}

impl Kernel {
    pub const ALL: [Kernel; 13] = [
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
    ];

    /// Whether it merges what was reduced.
    pub fn merges(self) -> bool {
        matches!(self, Kernel::Finalize | Kernel::FinalizeGradients)
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
