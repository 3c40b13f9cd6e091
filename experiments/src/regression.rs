//! Experiment 1, deep regression: six hidden layers of 128 rectifiers learn y = sin(X·w) + noise.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use crate::data::Regression;
use crate::network::Linear;

#[cfg(feature = "program")]
mod training;

#[cfg(feature = "program")]
pub use training::{Curve, train};

pub const STEPS: u32 = 300;
pub const RATE: f32 = 0.05;

/// The same task with data and initial weights of our own, distributed as torch draws them.
pub fn own_task(seed: u64) -> Regression {
    own_task_of(&[128; 6], seed)
}

/// The same for a network with these hidden layers.
pub fn own_task_of(hidden: &[u32], seed: u64) -> Regression {
    let (rows, width) = (512u32, 20u32);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = |len: u32| -> Vec<f32> { (0..len).map(|_| StandardNormal.sample(&mut rng)).collect() };
    let (x, w, noise) = (normal(rows * width), normal(width), normal(rows));
    let product = |row: &[f32]| row.iter().zip(&w).map(|(x, w)| x * w).sum::<f32>();
    let y =
        x.chunks(width as usize).zip(&noise).map(|(row, noise)| product(row).sin() + 0.1 * noise).collect();
    let mut layer = |inputs: u32, outputs: u32| {
        let bound = 1.0 / (inputs as f32).sqrt();
        let mut uniform = |len: u32| (0..len).map(|_| rng.random_range(-bound..bound)).collect();
        let (weight, bias) = (uniform(inputs * outputs), uniform(outputs));
        Linear { inputs, outputs, weight, bias }
    };
    let widths = [&[width], hidden, &[1]].concat();
    let layers = widths.windows(2).map(|w| layer(w[0], w[1])).collect();
    Regression { rows, x, y, layers }
}
