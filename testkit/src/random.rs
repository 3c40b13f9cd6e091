//! Random tensors and states, the same for the same seed.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};
use wgpu_batchnorm::{Shape, State};

use crate::layout::Layout;

/// Values whose features differ in mean and spread, in the shape's layout.
pub fn tensor(shape: Shape, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    let layout = Layout::of(shape);
    let affine: Vec<(f32, f32)> =
        (0..layout.features).map(|_| (rng.random_range(-3.0..3.0), rng.random_range(0.5..2.0))).collect();
    (0..shape.elements() as usize)
        .map(|i| {
            let (mean, spread) = affine[layout.feature(i)];
            let z: f32 = StandardNormal.sample(&mut rng);
            z * spread + mean
        })
        .collect()
}

/// A state in which no vector is at its initial value.
pub fn state(features: u32, seed: u64) -> State {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut draw = |low, high| (0..features).map(|_| rng.random_range(low..high)).collect::<Vec<f32>>();
    State {
        weight: draw(0.5, 1.5),
        bias: draw(-1.0, 1.0),
        running_mean: draw(-1.0, 1.0),
        running_var: draw(0.2, 3.0),
        num_batches_tracked: 0,
    }
}
