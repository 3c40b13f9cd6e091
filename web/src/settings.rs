//! What the page's controls say.

use batchnorm_experiments::kernels::Activation;
use batchnorm_experiments::network::Normalization;
use wasm_bindgen::prelude::*;
use wgpu_batchnorm::Convention;

/// What the networks learn.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// The recorded regression: its data and its initial weights.
    Recorded,
    /// The same regression from a seed.
    Regression,
    /// Handwritten digits.
    Digits,
}

/// Of both networks.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub learn: Learn,
    /// Hidden layers, and units of each. The recorded regression has its own.
    pub depth: u32,
    pub width: u32,
    /// Examples of a step, from 2 on.
    pub batch: u32,
    pub rate: f32,
    pub seed: u32,
    /// Sigmoids instead of rectifiers.
    pub sigmoid: bool,
    /// Whether running variances follow the biased variance of the batch, or the unbiased one.
    pub biased: bool,
    /// Whether batch normalization stands after the activation, or before.
    pub after: bool,
}

#[wasm_bindgen]
impl Settings {
    /// The recorded regression.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            learn: Learn::Recorded,
            depth: 6,
            width: 128,
            batch: 512,
            rate: 0.05,
            seed: 0,
            sigmoid: false,
            biased: false,
            after: false,
        }
    }
}

impl Settings {
    pub fn activation(&self) -> Activation {
        if self.sigmoid { Activation::Sigmoid } else { Activation::Relu }
    }

    pub fn normalization(&self, normalized: bool) -> Normalization {
        // Burn's convention is PyTorch's but for the biased running variance.
        let convention = if self.biased { Convention::Burn } else { Convention::PyTorch };
        match (normalized, self.after) {
            (false, _) => Normalization::None,
            (true, false) => Normalization::Batch(convention),
            (true, true) => Normalization::AfterActivation(convention),
        }
    }

    pub fn hidden(&self) -> Vec<u32> {
        vec![self.width; self.depth as usize]
    }
}
