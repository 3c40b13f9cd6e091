//! What stands between the layers of a network.

use wgpu_batchnorm::{BatchNormDescriptor, Convention};

/// What stands between a linear layer and its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Nothing: the plain net.
    None,
    /// Batch normalization. The convention decides what becomes of the running variance.
    Batch(Convention),
    /// The same, but after the activation.
    AfterActivation(Convention),
    /// PyTorch's batch normalization and then, in training, the noise of shaders/noise.wgsl.
    Noisy,
    /// Batch normalization of a batch that comes in micro-batches of so many examples, each with statistics of its own.
    VirtualBatches(u32),
    /// The same with statistics that are merged over all micro-batches.
    MicroBatches(u32),
    /// Group normalization (Wu and He 2018): statistics of each example and group of features, of which there are so
    /// many. With one group it is layer normalization (Ba et al. 2016).
    Groups(u32),
}

impl Normalization {
    pub const BATCH: Self = Self::Batch(Convention::PyTorch);
    pub const LAYER: Self = Self::Groups(1);

    pub(super) fn is_after_activation(self) -> bool {
        matches!(self, Self::AfterActivation(_))
    }

    /// Whether a bias that is added right before changes nothing. Batch normalization subtracts the mean of each
    /// feature, and such a bias with it: the bias would have a gradient of zero. β takes its place.
    pub(super) fn subtracts_biases(self) -> bool {
        !matches!(self, Self::None | Self::AfterActivation(_) | Self::Groups(_))
    }

    /// The layer that keeps weight and bias, and running statistics where there are any.
    pub(super) fn descriptor(self, features: u32) -> Option<BatchNormDescriptor<'static>> {
        let convention = match self {
            Self::None => return None,
            Self::Batch(convention) | Self::AfterActivation(convention) => convention,
            _ => Convention::PyTorch,
        };
        // With groups, running statistics stay at mean 0 and variance 1, and this eps vanishes beside that.
        let eps = match self {
            Self::Groups(_) => f32::MIN_POSITIVE,
            _ => BatchNormDescriptor::default().eps,
        };
        Some(BatchNormDescriptor { features, convention, eps, ..Default::default() })
    }
}

/// Dropout in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// What share of the values is dropped, in 0..1.
    pub share: f32,
    pub place: DropoutPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropoutPlace {
    /// Between each linear layer and its normalization.
    BeforeNormalization,
    /// At the end of each hidden layer: another linear layer, and its normalization, follow.
    EachLayer,
    /// At the end of the last hidden layer: no normalization follows.
    LastLayer,
}
