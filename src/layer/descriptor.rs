//! What a layer is: its features, constants, and whose conventions it follows.

use super::DescriptorError;

/// Whose conventions `momentum` and the running variance follow. The normalization itself is the same in all: the
/// biased variance of the batch in training, the running one in evaluation.
///
/// momentum and eps have other defaults in each framework:
/// [`BatchNormDescriptor::with_defaults_of`] gives a descriptor all of a framework's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Convention {
    /// `torch.nn.BatchNorm*`: momentum weighs the batch; the running variance takes the unbiased estimate
    /// count / (count − 1). PyTorch's defaults: momentum 0.1, eps 1e-5.
    #[default]
    PyTorch,
    /// `keras.layers.BatchNormalization`: momentum weighs the old value; biased running variance.
    /// Keras' defaults: momentum 0.99, eps 1e-3.
    Keras,
    /// ONNX `BatchNormalization` (opset 14 and 15): momentum weighs the old value; biased running variance.
    /// ONNX' defaults: momentum 0.9, epsilon 1e-5.
    Onnx,
    /// `burn::nn::BatchNorm` 0.22: momentum weighs the batch; biased running variance.
    /// Burn's defaults: momentum 0.1, epsilon 1e-5.
    Burn,
}

impl Convention {
    /// The share of the batch statistics in the new running statistics, given this convention's momentum.
    pub fn batch_share(self, momentum: f32) -> f32 {
        match self {
            Convention::PyTorch | Convention::Burn => momentum,
            Convention::Keras | Convention::Onnx => 1.0 - momentum,
        }
    }

    /// Whether the running variance takes the unbiased estimate of the batch's variance.
    pub fn unbiased_running_variance(self) -> bool {
        self == Convention::PyTorch
    }

    /// The momentum a layer of that framework has by default.
    pub fn default_momentum(self) -> f32 {
        match self {
            Convention::PyTorch | Convention::Burn => 0.1,
            Convention::Keras => 0.99,
            Convention::Onnx => 0.9,
        }
    }

    /// The eps a layer of that framework has by default.
    pub fn default_eps(self) -> f32 {
        match self {
            Convention::Keras => 1e-3,
            _ => 1e-5,
        }
    }
}

/// What a [`BatchNorm`](crate::BatchNorm) is. The default is `torch.nn.BatchNorm*` with 0 features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormDescriptor<'a> {
    /// Names the layer's buffers in captures and validation messages. Costs nothing.
    pub label: Option<&'a str>,
    /// C, what statistics are per. At least 1. Costs 24 bytes of device memory each, rounded up to 64 features, and
    /// what [`Plan::scratch_bytes`](crate::Plan::scratch_bytes) says per prepared step.
    pub features: u32,
    /// Added to the variance under the root. Finite, above 0 (at least 2⁻¹²⁶).
    pub eps: f32,
    /// How fast the running statistics move, in 0..=1, in the direction of `convention`. `None` is PyTorch's
    /// cumulative average: every batch tracked weighs the same.
    pub momentum: Option<f32>,
    /// Whether the layer has a learnable weight γ, initially 1. Without, nothing is saved: the kernels read a 1.
    pub weight: bool,
    /// Whether the layer has a learnable bias β, initially 0. Without, nothing is saved: the kernels read a 0.
    pub bias: bool,
    /// Whether training moves running statistics, and evaluation uses them. `false`: evaluation uses batch statistics
    /// too, and costs what training costs.
    pub track_running_stats: bool,
    /// Whose conventions `momentum` and the running variance follow. Does not change `momentum` and `eps` themselves:
    /// [`with_defaults_of`](Self::with_defaults_of) does.
    pub convention: Convention,
}

impl Default for BatchNormDescriptor<'_> {
    fn default() -> Self {
        Self::with_defaults_of(Convention::PyTorch, 0)
    }
}

impl BatchNormDescriptor<'_> {
    /// A layer of `features` features with the conventions, momentum and eps of a framework.
    pub fn with_defaults_of(convention: Convention, features: u32) -> Self {
        Self {
            label: None,
            features,
            eps: convention.default_eps(),
            momentum: Some(convention.default_momentum()),
            weight: true,
            bias: true,
            track_running_stats: true,
            convention,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), DescriptorError> {
        if self.features == 0 {
            return Err(DescriptorError::Features { given: 0 });
        }
        if !self.eps.is_finite() || self.eps < f32::MIN_POSITIVE {
            return Err(DescriptorError::Eps { required: f32::MIN_POSITIVE, given: self.eps });
        }
        match self.momentum {
            Some(m) if !(0.0..=1.0).contains(&m) => Err(DescriptorError::Momentum { given: m }),
            _ => Ok(()),
        }
    }
}
