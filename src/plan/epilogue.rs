//! What is fused after the affine step.

/// An elementwise function, and its derivative, that a step applies to what it has normalized.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// The value itself.
    #[default]
    Identity,
    /// max(v, 0); NaN stays NaN. Its derivative at 0 is 0, as PyTorch's.
    Relu,
    /// v where v > 0, else slope · v.
    LeakyRelu {
        /// The slope of the negative half; PyTorch's default is 0.01.
        slope: f32,
    },
    /// v / (1 + e⁻ᵛ), also named swish.
    Silu,
    /// v / 2 · (1 + tanh(√(2/π) · (v + 0.044715 · v³))): PyTorch's `gelu` with `approximate="tanh"`.
    Gelu,
    /// The caller's own.
    Custom(CustomActivation),
}

/// An activation in WGSL: the bodies of two functions of `v`, a float32, that return a float32.
///
/// The device's compiler validates them when a step is first prepared, and its shaders keep wgpu's run-time checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomActivation {
    /// The function: `"return v * v;"`.
    pub value: &'static str,
    /// Its derivative: `"return 2.0 * v;"`.
    pub derivative: &'static str,
}

/// What is fused after the affine step: y = activation(bn(x)), or activation(bn(x) + z) with a residual z.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Epilogue {
    /// The activation.
    pub activation: Activation,
    /// Whether a residual is added before it.
    pub residual: bool,
}
