//! What a step with an epilogue and its backward are asked for.

use wgpu_batchnorm::{Activation, CustomActivation, PlanRequest, PreActivation, Shape, StorageType, cpu};

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

/// How what is written lies to what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Disjoint,
    /// All tensors in one buffer.
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
            plan: PlanRequest::default(),
        }
    }

    /// Whether the placement and the gradients are possible.
    pub fn is_possible(&self) -> bool {
        let dz = self.residual || !self.wanted.dz;
        let place = self.residual || self.placement != Placement::ResidualInPlace;
        let adds = !(self.accumulate && self.wanted.dz && self.placement == Placement::ResidualInPlace);
        dz && place && adds
    }
}
