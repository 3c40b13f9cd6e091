use crate::plan::Activation;

/// An activation on the host.
#[derive(Debug, Clone, Copy)]
pub enum Function {
    /// One that the library has.
    Of(Activation),
    /// The twin of [`Activation::Custom`], whose WGSL does not run here.
    Custom {
        /// The function.
        value: fn(f64) -> f64,
        /// Its derivative.
        derivative: fn(f64) -> f64,
    },
}

impl Default for Function {
    fn default() -> Self {
        Self::Of(Activation::Identity)
    }
}

impl From<Activation> for Function {
    fn from(activation: Activation) -> Self {
        Self::Of(activation)
    }
}

impl Function {
    /// The activation of v. A NaN stays one.
    ///
    /// # Panics
    /// For [`Activation::Custom`]: its twin is [`Function::Custom`].
    pub fn value(&self, v: f64) -> f64 {
        match *self {
            Self::Custom { value, .. } => value(v),
            Self::Of(Activation::Identity) => v,
            Self::Of(Activation::Relu) if v.is_nan() || v > 0.0 => v,
            Self::Of(Activation::Relu) => 0.0,
            Self::Of(Activation::LeakyRelu { .. }) if v > 0.0 => v,
            Self::Of(Activation::LeakyRelu { slope }) => v * f64::from(slope),
            Self::Of(Activation::Silu) => v * sigmoid(v),
            Self::Of(Activation::Gelu) => v * gelu_share(v),
            Self::Of(Activation::Custom(_)) => panic!("{NO_TWIN}"),
        }
    }

    /// The gradient with respect to v, given that of the activation. Where a rectifier's v is not above 0, a NaN among
    /// them, it selects as PyTorch does, so that nothing of a dy that is not finite passes a derivative of 0.
    ///
    /// # Panics
    /// As [`Function::value`].
    pub fn gradient(&self, v: f64, dy: f64) -> f64 {
        match *self {
            Self::Custom { derivative, .. } => dy * derivative(v),
            Self::Of(Activation::Identity) => dy,
            Self::Of(Activation::Relu | Activation::LeakyRelu { .. }) if v > 0.0 => dy,
            Self::Of(Activation::Relu) => 0.0,
            Self::Of(Activation::LeakyRelu { slope }) => dy * f64::from(slope),
            Self::Of(Activation::Silu) => dy * sigmoid(v) * (1.0 + v * (1.0 - sigmoid(v))),
            Self::Of(Activation::Gelu) => {
                let share = gelu_share(v);
                let slope = 2.0 * GELU_SCALE * (1.0 + 3.0 * GELU_CUBE * v * v);
                dy * share * (1.0 + v * (1.0 - share) * slope)
            }
            Self::Of(Activation::Custom(_)) => panic!("{NO_TWIN}"),
        }
    }
}

const NO_TWIN: &str = "an activation in WGSL does not run on the CPU: give its twin, Function::Custom";
/// √(2/π).
const GELU_SCALE: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
const GELU_CUBE: f64 = 0.044715;

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// (1 + tanh(u)) / 2 with u = √(2/π) · (v + 0.044715 v³), in which nothing cancels.
fn gelu_share(v: f64) -> f64 {
    sigmoid(2.0 * GELU_SCALE * (v + GELU_CUBE * v * v * v))
}
