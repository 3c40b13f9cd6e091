//! What a turn gives the page.

use wasm_bindgen::prelude::*;

/// The steps of a turn, for both networks: 0 is the one with batch normalization.
#[wasm_bindgen]
#[derive(Default)]
pub struct Turn {
    pub(crate) losses: [Vec<f32>; 2],
    pub(crate) seen: Option<[Seen; 2]>,
}

/// What was measured of a network after the last step of a turn.
#[derive(Default)]
pub(crate) struct Seen {
    pub evaluations: Vec<f32>,
    pub histograms: Vec<f32>,
    pub gradients: Vec<f32>,
    pub statistics: Vec<f32>,
}

#[wasm_bindgen]
impl Turn {
    /// The loss of each step, before its update.
    pub fn losses(&self, network: usize) -> Vec<f32> {
        self.losses[network].clone()
    }

    /// Whether the turn measured what the methods below tell. Where it did not, they give nothing.
    pub fn measured(&self) -> bool {
        self.seen.is_some()
    }

    /// Loss and share of right answers, with running statistics and then, where there are any, with those of the batch.
    pub fn evaluations(&self, network: usize) -> Vec<f32> {
        self.of(network, |seen| &seen.evaluations)
    }

    /// For each hidden layer, the shares of what enters the activation in equal intervals.
    pub fn histograms(&self, network: usize) -> Vec<f32> {
        self.of(network, |seen| &seen.histograms)
    }

    /// For each linear layer, the norm of its weights' gradient.
    pub fn gradients(&self, network: usize) -> Vec<f32> {
        self.of(network, |seen| &seen.gradients)
    }

    /// Four vectors of the chosen layer's features: mean of the batch, variance of the batch, running mean, running
    /// variance.
    pub fn statistics(&self, network: usize) -> Vec<f32> {
        self.of(network, |seen| &seen.statistics)
    }

    fn of(&self, network: usize, part: impl FnOnce(&Seen) -> &Vec<f32>) -> Vec<f32> {
        self.seen.as_ref().map_or(vec![], |seen| part(&seen[network]).clone())
    }
}
