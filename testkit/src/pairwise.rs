//! A sample of combinations that are too many to be listed: each two choices that are possible together meet.

use rand::{RngExt, SeedableRng, rngs::StdRng};
pub use wgpu_batchnorm::{pairs, pairwise};

/// Combinations that are drawn for each two choices, and how many possible ones are enough.
const DRAWN: usize = 3000;
const ENOUGH: usize = 12;

/// Combinations of one choice per dimension, each an index in 0..`sizes[dimension]`, to take a sample of: for every two
/// choices some that have both and are possible, where there are any among thousands.
pub fn drawn(sizes: &[usize], possible: impl Fn(&[usize]) -> bool, seed: u64) -> Vec<Vec<usize>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let choices: Vec<(usize, usize)> =
        (0..sizes.len()).flat_map(|dimension| (0..sizes[dimension]).map(move |i| (dimension, i))).collect();
    let mut all = Vec::new();
    for &(a, of_a) in &choices {
        for &(b, of_b) in choices.iter().filter(|(b, _)| *b > a) {
            let draw = |_| {
                let mut combination: Vec<usize> =
                    sizes.iter().map(|&size| rng.random_range(0..size)).collect();
                (combination[a], combination[b]) = (of_a, of_b);
                combination
            };
            all.extend((0..DRAWN).map(draw).filter(|c| possible(c)).take(ENOUGH));
        }
    }
    all
}

/// A sample of all that are possible.
pub fn sample(sizes: &[usize], possible: impl Fn(&[usize]) -> bool) -> Vec<Vec<usize>> {
    pairwise(&drawn(sizes, possible, 31))
}

#[test]
fn each_two_meet() {
    let sample = sample(&[3, 4, 2, 5], |c| c[0] != 1 || c[1] != 2);
    let met = |a: usize, b: usize| sample.iter().any(|c| (c[0], c[1]) == (a, b));
    assert!((0..3).all(|a| (0..4).all(|b| met(a, b) == (a != 1 || b != 2))));
    assert!((0..4).all(|b| (0..5).all(|d| sample.iter().any(|c| (c[1], c[3]) == (b, d)))));
    assert!(sample.len() < 40, "{}", sample.len());
}
