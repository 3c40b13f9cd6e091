//! A step and its backward with any options, run once and held against the CPU twin.

pub mod choices;
pub mod numbers;
mod parts;
mod refusal;
mod requests;
mod steps;
mod tensors;
mod truth;

use wgpu_batchnorm::{
    Activation, CustomActivation, MaskKind, PlanRequest, PreActivation, Shape, StorageType, cpu,
};

pub use refusal::{Refusal, refusal};
pub use steps::{Asked, Got};

/// v + v / (2 + 2v²), as a caller would give it: of functions that every device computes to the last bits, which WGSL does not
/// ask of sin or exp.
pub const CUSTOM: Activation = Activation::Custom(CustomActivation {
    value: "let r = 0.5 / (1.0 + v * v); return v + v * r;",
    derivative: "let q = 1.0 + v * v; return 1.0 + 0.5 * (1.0 - v * v) / (q * q);",
});

/// Every activation, with some that have a parameter.
pub const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::LeakyRelu { slope: -0.5 },
    Activation::Silu,
    Activation::Gelu,
    CUSTOM,
];

/// The twin of an activation.
pub fn twin(activation: Activation) -> cpu::Function {
    match activation {
        Activation::Custom(_) => cpu::Function::Custom {
            value: |v| v + 0.5 * v / (1.0 + v * v),
            derivative: |v| 1.0 + 0.5 * (1.0 - v * v) / (1.0 + v * v).powi(2),
        },
        activation => activation.into(),
    }
}

/// What was there where something is added to.
const BEFORE: f32 = 0.75;

/// How what is written lies to what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Disjoint,
    /// Everything in one buffer.
    SameBuffer,
    /// y takes the place of x, and dx that of dy. Backward gets a copy of x, where it reads it.
    InPlace,
    /// y takes the place of z, and dz that of dy. Backward gets a copy of z, where it reads it.
    ResidualInPlace,
}

pub const PLACEMENTS: [Placement; 4] =
    [Placement::Disjoint, Placement::SameBuffer, Placement::InPlace, Placement::ResidualInPlace];

/// Which forward step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Training,
    /// Running statistics normalize, and move.
    Frozen,
    Evaluation,
}

/// Which gradients are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub dx: bool,
    pub dz: bool,
    /// Of weight and bias.
    pub learns: bool,
}

pub const ALL: Wanted = Wanted { dx: true, dz: true, learns: true };

/// How the batch is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    Whole,
    /// Each tensor lies in two ranges, and so is cut into pieces.
    Ranges,
    /// Statistics of so many examples at a time.
    Virtual(u32),
    /// Moments and gradient sums of parts, of which one has no example, merged by steps of their own.
    Parts,
}

/// A step and its backward.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub shape: Shape,
    pub activation: Activation,
    pub residual: bool,
    pub mode: Mode,
    pub placement: Placement,
    pub wanted: Wanted,
    pub by: Option<PreActivation>,
    pub storage: StorageType,
    /// Whether dz, and the gradients of weight and bias, are added to.
    pub accumulate: bool,
    pub mask: Option<MaskKind>,
    pub batch: Batch,
    /// Whether features are skipped whose statistics are not finite. Then there is one.
    pub guard: bool,
    /// The flag that the device reads, where there is one.
    pub flag: Option<u32>,
    /// Whether tensors are of whole numbers, and running statistics leave them so: then results have no error. Not for a
    /// step of which batch statistics are a part, nor for activations that are curved.
    pub exact: bool,
    /// Bytes before each tensor in its buffer.
    pub offset: u32,
    /// What the bytes around tensors are made of, where they are not the usual pattern.
    pub garbage: Option<u32>,
    pub seed: u64,
    /// Its path is that of the forward step and, but of an evaluation, of a backward that has a choice.
    pub plan: PlanRequest,
}

impl Ask {
    pub fn new(shape: Shape, activation: Activation, residual: bool) -> Self {
        Self {
            shape,
            activation,
            residual,
            mode: Mode::Training,
            placement: Placement::Disjoint,
            wanted: Wanted { dz: residual, ..ALL },
            by: None,
            storage: StorageType::Float32,
            accumulate: false,
            mask: None,
            batch: Batch::Whole,
            guard: false,
            flag: None,
            exact: false,
            offset: 256,
            garbage: None,
            seed: 900,
            plan: PlanRequest::default(),
        }
    }

    /// Whether the path is its backward's, too: where the batch is reduced and a tensor written.
    pub(crate) fn backward_has_path(&self) -> bool {
        let Wanted { dx, dz, learns } = self.wanted;
        let reduces = learns || (dx && self.mode == Mode::Training);
        reduces && (dx || dz) && self.mode != Mode::Evaluation
    }

    /// Examples of each range or part that the tensors lie in.
    pub(crate) fn cuts(&self) -> Vec<u32> {
        let batch = self.shape.batch();
        match self.batch {
            Batch::Whole | Batch::Virtual(_) => vec![batch],
            // Of whatever shape, so many examples end aligned.
            Batch::Ranges if batch > 128 => vec![128, batch - 128],
            Batch::Ranges => vec![batch],
            Batch::Parts => {
                let third = batch / 3;
                vec![third, 0, third, batch - 2 * third]
            }
        }
    }
}
