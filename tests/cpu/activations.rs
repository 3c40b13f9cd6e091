//! Values of activations, as PyTorch gives them, and what they do at 0, at infinities and to a NaN.

use approx::assert_relative_eq;
use wgpu_batchnorm::cpu::Function;
use wgpu_batchnorm::{Activation, CustomActivation};

const ALL: [Activation; 5] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Silu,
    Activation::Gelu,
];

fn value(activation: Activation, v: f64) -> f64 {
    Function::from(activation).value(v)
}

fn derivative(activation: Activation, v: f64) -> f64 {
    Function::from(activation).gradient(v, 1.0)
}

/// torch.nn.functional.silu and gelu(approximate="tanh") in float64.
#[test]
fn known_values() {
    let leaky = Activation::LeakyRelu { slope: 0.25 };
    assert_eq!([-2.0, 0.0, 3.0].map(|v| value(Activation::Relu, v)), [0.0, 0.0, 3.0]);
    assert_eq!([-2.0, 0.0, 3.0].map(|v| value(leaky, v)), [-0.5, 0.0, 3.0]);
    for (v, silu, gelu) in [
        (1.0, 0.7310585786300049, 0.8411919906082768),
        (-1.0, -0.2689414213699951, -0.15880800939172324),
        (3.0, 2.8577223804673, 2.996362607918227),
    ] {
        assert_relative_eq!(value(Activation::Silu, v), silu, max_relative = 1e-14);
        assert_relative_eq!(value(Activation::Gelu, v), gelu, max_relative = 1e-14);
    }
}

#[test]
fn rectifiers_are_flat_at_0() {
    assert_eq!(derivative(Activation::Relu, 0.0), 0.0);
    assert_eq!(derivative(Activation::LeakyRelu { slope: 0.25 }, 0.0), 0.25);
    assert_eq!((derivative(Activation::Silu, 0.0), derivative(Activation::Gelu, 0.0)), (0.5, 0.5));
}

#[test]
fn a_nan_stays_one_and_stops_no_rectified_gradient() {
    for activation in ALL {
        assert!(value(activation, f64::NAN).is_nan(), "{activation:?}");
    }
    assert_eq!(Function::from(Activation::Relu).gradient(f64::NAN, 5.0), 0.0);
    assert_eq!(Function::from(Activation::Relu).gradient(-1.0, f64::NAN), 0.0);
    assert!(Function::from(Activation::Relu).gradient(1.0, f64::NAN).is_nan());
}

/// Far from 0 all of them are v or a multiple of it; nothing overflows on the way.
#[test]
fn large_values() {
    for v in [40.0, 800.0, 1e30] {
        for activation in ALL {
            assert_eq!((value(activation, v), derivative(activation, v)), (v, 1.0), "{activation:?} of {v}");
        }
        for activation in [Activation::Relu, Activation::Silu, Activation::Gelu] {
            let (value, derivative) = (value(activation, -v), derivative(activation, -v));
            assert!(value.abs() < 1e-15 && derivative.abs() < 1e-15, "{activation:?} of −{v}: {value}");
        }
    }
}

#[test]
#[should_panic = "give its twin, Function::Custom"]
fn wgsl_has_no_value_on_the_cpu() {
    let custom = CustomActivation { value: "return v;", derivative: "return 1.0;" };
    value(Activation::Custom(custom), 1.0);
}
