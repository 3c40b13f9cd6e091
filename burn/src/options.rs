//! What of a layer is no tensor.

use wgpu_batchnorm::{Activation, BatchNormDescriptor, Convention};

/// What of a layer is no tensor. Numbers are kept as bits, so that options can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Options {
    epsilon: u32,
    momentum: u32,
    unbiased: bool,
    relu: bool,
}

impl Options {
    pub fn new(epsilon: f64, momentum: f64, unbiased: bool, relu: bool) -> Self {
        let [epsilon, momentum] = [epsilon, momentum].map(|value| (value as f32).to_bits());
        Self { epsilon, momentum, unbiased, relu }
    }

    pub fn descriptor(&self, features: u32) -> BatchNormDescriptor<'static> {
        let convention = if self.unbiased { Convention::PyTorch } else { Convention::Burn };
        BatchNormDescriptor {
            eps: f32::from_bits(self.epsilon),
            momentum: Some(f32::from_bits(self.momentum)),
            ..BatchNormDescriptor::with_defaults_of(convention, features)
        }
    }

    pub fn activation(&self) -> Activation {
        if self.relu { Activation::Relu } else { Activation::Identity }
    }
}
