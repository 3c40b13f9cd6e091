//! What bindings are to kernels, and where they stand.

use Role::*;

/// What a binding is to a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// All vectors of the layer, where they stand in one buffer.
    Layer,
    Weight,
    Bias,
    RunningMean,
    RunningVar,
    Batches,
    /// How often the guard skipped each feature.
    Skipped,
    Saved,
    Partials,
    Means,
    /// A record of the caller's, of moments or of sums.
    Record,
    Input,
    Output,
    OutputGradient,
    InputGradient,
    WeightGradient,
    BiasGradient,
    Residual,
    ResidualGradient,
    /// A bit for each example and position.
    Mask,
    /// Valid positions of each example, from which a mask is made.
    Lengths,
    /// The caller's flag without which no running statistic moves.
    Commit,
}

/// What an element of a binding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// A tensor: loaded and stored in packets.
    Packet,
    /// Vectors of C statistics.
    Stat,
    /// A vector of C counts.
    Count,
    /// Vectors of C statistics or counts.
    Word,
    /// Whole numbers, one by one.
    Number,
}

impl Role {
    /// The bind group and the binding: group 0 is the layer's and the step's own, where binding 0 is the parameters; group
    /// 1 is the caller's tensors.
    pub fn place(self) -> (u32, u32) {
        match self {
            Layer | Weight => (0, 1),
            Bias => (0, 2),
            RunningMean => (0, 3),
            RunningVar => (0, 4),
            Batches => (0, 5),
            Saved => (0, 6),
            Partials => (0, 7),
            Means => (0, 8),
            Record => (0, 9),
            Skipped => (0, 10),
            Input => (1, 0),
            Output => (1, 1),
            OutputGradient => (1, 2),
            InputGradient => (1, 3),
            WeightGradient => (1, 4),
            BiasGradient => (1, 5),
            Residual => (1, 6),
            ResidualGradient => (1, 7),
            Mask => (1, 8),
            Lengths => (1, 9),
            Commit => (1, 10),
        }
    }

    /// The variable in WGSL.
    pub fn name(self) -> &'static str {
        match self {
            Layer => "layer",
            Weight => "weight",
            Bias => "bias",
            RunningMean => "running_mean",
            RunningVar => "running_var",
            Batches => "batches",
            Skipped => "skipped",
            Saved => "saved",
            Partials => "partials",
            Means => "means",
            Record => "record",
            Input => "x",
            Output => "y",
            OutputGradient => "dy",
            InputGradient => "dx",
            WeightGradient => "weight_gradient",
            BiasGradient => "bias_gradient",
            Residual => "z",
            ResidualGradient => "dz",
            Mask => "mask",
            Lengths => "lengths",
            Commit => "commit",
        }
    }

    /// Which vector of the layer's own buffer it is.
    pub fn of_layer(self) -> Option<usize> {
        [Weight, Bias, RunningMean, RunningVar, Batches, Skipped].into_iter().position(|role| role == self)
    }

    pub fn element(self) -> Element {
        match self {
            Input | Output | OutputGradient | InputGradient | Residual | ResidualGradient => Element::Packet,
            Batches | Skipped => Element::Count,
            Mask | Lengths | Commit => Element::Number,
            Layer => Element::Word,
            _ => Element::Stat,
        }
    }
}
