//! Which asks are refused, and why: the rule that tests hold the layer to.

use wgpu_batchnorm::{
    Activation, ActivationError, BindingError, Path, PlanError, PreActivation, PrepareError, StorageType,
    Tensor,
};

use super::{Ask, Batch, Mode, Placement, Wanted};

/// Why an ask is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No such packet in this storage type.
    Packet,
    /// Pieces have one path.
    PathOfPieces,
    /// The work has no such path.
    Path,
    /// A residual's gradient without a residual.
    NoResidual,
    /// What is added to would take the place of dy.
    Overlap,
    /// y does not tell the sign of what the activation was given.
    Sign,
    /// The input gradient of a part is not asked for.
    NoInputGradient,
    /// One dispatch would bind so many storage buffers.
    StorageBuffers(u32),
}

impl Refusal {
    pub const ALL: [Self; 8] = [
        Self::Packet,
        Self::PathOfPieces,
        Self::Path,
        Self::NoResidual,
        Self::Overlap,
        Self::Sign,
        Self::NoInputGradient,
        Self::StorageBuffers(9),
    ];

    /// Whether the error says so.
    pub fn is(self, error: &PrepareError) -> bool {
        let request = |word: &str| matches!(error, PrepareError::Plan(PlanError::Request { required, .. }) if required.contains(word));
        match self {
            Self::Packet => request("a packet of"),
            Self::PathOfPieces => request("in several pieces"),
            Self::Path => request("path") && !request("in several pieces"),
            Self::NoResidual => *error == PrepareError::NoResidual,
            Self::Overlap => matches!(error, PrepareError::Binding(BindingError::Overlap { .. })),
            Self::Sign => {
                matches!(error, PrepareError::Plan(PlanError::Activation(ActivationError::Sign { .. })))
            }
            Self::NoInputGradient => *error == PrepareError::NoGradient { tensor: Tensor::InputGradient },
            Self::StorageBuffers(buffers) => {
                matches!(error, PrepareError::Plan(PlanError::StorageBuffers { required, given })
                    if *required == buffers && *given < buffers)
            }
        }
    }
}

impl Ask {
    /// Why its forward step is refused, in the order that is checked in. In parts, moments come first.
    pub fn refusal_of_forward(&self) -> Option<Refusal> {
        let (path, reduces) = (self.plan.path, self.mode != Mode::Evaluation);
        let pieces = self.batch == Batch::Ranges && self.cuts().len() > 1;
        let of_pieces = pieces && reduces && path.is_some_and(|path| path != Path::Split);
        let packet = self.plan.packet == Some(8) && self.storage == StorageType::Float32;
        let possible = match path {
            None => true,
            Some(path) if self.batch == Batch::Parts => path == Path::Reduce,
            Some(path) if !reduces => path == Path::Elementwise,
            Some(path) => [Path::Cached, Path::Persistent, Path::Split].contains(&path),
        };
        match () {
            () if of_pieces => Some(Refusal::PathOfPieces),
            () if packet => Some(Refusal::Packet),
            () if !possible => Some(Refusal::Path),
            () => None,
        }
    }

    fn refusal_of_backward(&self, buffers: u32) -> Option<Refusal> {
        let Wanted { dx, dz, .. } = self.wanted;
        let keeps_sign = match self.activation {
            Activation::Identity | Activation::Relu => true,
            Activation::LeakyRelu { slope } => slope > 0.0,
            _ => false,
        };
        let sign = self.by == Some(PreActivation::SignOfOutput) && !keeps_sign;
        let in_one = matches!(self.plan.path, Some(Path::Cached | Path::Persistent));
        // dy, x, saved statistics, two gradients of parameters; z or y, a mask, dx, dz.
        let nine = in_one
            && self.backward_has_path()
            && self.activation != Activation::Identity
            && (self.residual && self.mask.is_some() && dx && dz);
        let checks = [
            (Refusal::NoInputGradient, self.batch == Batch::Parts && !dx),
            (Refusal::NoResidual, dz && !self.residual),
            (Refusal::Overlap, dz && self.accumulate && self.placement == Placement::ResidualInPlace),
            (Refusal::Sign, sign),
            (Refusal::StorageBuffers(9), nine && buffers < 9),
        ];
        // In parts, gradient sums come first.
        let first =
            checks.iter().filter(|(refusal, _)| self.batch == Batch::Parts && *refusal == Refusal::Sign);
        first.chain(&checks).find(|(_, refused)| *refused).map(|(refusal, _)| *refusal)
    }
}

/// Why an ask is refused on a device that binds so many storage buffers, if it is: by the first check that it fails.
pub fn refusal(ask: &Ask, buffers: u32) -> Option<Refusal> {
    ask.refusal_of_forward().or_else(|| ask.refusal_of_backward(buffers))
}
