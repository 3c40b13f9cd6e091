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
/// The device's compiler validates them when a step is first prepared, and its shaders keep wgpu's run-time checks. No
/// comment may stand in them.
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

/// How backward knows what the activation was given, on which its derivative depends. No step keeps a tensor for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PreActivation {
    /// Computed again, from x and the residual as forward read them.
    Recomputed,
    /// From the sign of y, which for [`Activation::Relu`] and [`Activation::LeakyRelu`] is enough.
    SignOfOutput,
}

/// What becomes of the residual's gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResidualGradient {
    /// It is overwritten.
    Write,
    /// It is added to.
    Add,
}

/// Why a step cannot have an activation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// A body of a [`CustomActivation`] ends its function, or does not end a block.
    #[error(
        "the {function} of a custom activation: each {{ must have its }} within the body, given {given:?}"
    )]
    Braces {
        /// Whether it is the value or the derivative.
        function: &'static str,
        /// The body.
        given: &'static str,
    },
    /// A body of a [`CustomActivation`] has a comment, in which braces would not count.
    #[error("the {function} of a custom activation: no comment may stand in the body, given {given:?}")]
    Comment {
        /// Whether it is the value or the derivative.
        function: &'static str,
        /// The body.
        given: &'static str,
    },
    /// The sign of y does not tell what the activation was given.
    #[error(
        "the sign of y is enough for ReLU, and leaky ReLU with a slope of at least 0, given {given:?}: recompute"
    )]
    Sign {
        /// The activation.
        given: Activation,
    },
}

impl Activation {
    /// Whether y > 0 exactly where what it is given is, and its derivative depends on this alone.
    pub(crate) fn keeps_sign(self) -> bool {
        match self {
            Self::Relu => true,
            Self::LeakyRelu { slope } => slope >= 0.0,
            _ => false,
        }
    }

    /// Of leaky ReLU; of others it makes no difference.
    pub(crate) fn slope(self) -> f32 {
        if let Self::LeakyRelu { slope } = self { slope } else { 0.0 }
    }

    /// That a body of the caller's is that of one function. The device's compiler says the rest.
    pub(crate) fn validate(self) -> Result<(), ActivationError> {
        let Self::Custom(CustomActivation { value, derivative }) = self else { return Ok(()) };
        for (function, given) in [("value", value), ("derivative", derivative)] {
            if given.contains("//") || given.contains("/*") {
                return Err(ActivationError::Comment { function, given });
            }
            let mut open = 0i64;
            let closes = given.chars().any(|c| {
                open += i64::from(c == '{') - i64::from(c == '}');
                open < 0
            });
            if closes || open != 0 {
                return Err(ActivationError::Braces { function, given });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_what_was_given() {
        assert_eq!(Activation::LeakyRelu { slope: 0.25 }.slope(), 0.25);
    }

    #[test]
    fn a_body_stays_in_its_function() {
        let of = |value| Activation::Custom(CustomActivation { value, derivative: "return 1.0;" }).validate();
        let function = "value";
        assert_eq!(of("if v > 0.0 { return v; } return 0.0;"), Ok(()));
        for given in ["return v; } fn f() {", "return v; }", "{ return v;", "}{"] {
            assert_eq!(of(given), Err(ActivationError::Braces { function, given }));
        }
        for given in ["return v; // }", "/* { */ return v; } fn f() { /* } */", "return v; /* "] {
            assert_eq!(of(given), Err(ActivationError::Comment { function, given }));
        }
    }
}
