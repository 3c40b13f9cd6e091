//! A sample of all combinations of choices: each two choices that are possible together meet.

use std::collections::HashSet;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Combinations drawn to learn what is possible, and each time to take the best of.
const DRAWN: usize = 20_000;
const TRIED: usize = 200;

/// Combinations of one choice per dimension, each an index in 0..`sizes[dimension]`: every two choices that one of many
/// random combinations that are valid has together are in one of these.
pub fn pairwise(sizes: &[usize], valid: impl Fn(&[usize]) -> bool) -> Vec<Vec<usize>> {
    let mut rng = StdRng::seed_from_u64(31);
    let mut draw = || loop {
        let combination: Vec<usize> = sizes.iter().map(|&size| rng.random_range(0..size)).collect();
        if valid(&combination) {
            return combination;
        }
    };
    let mut open: HashSet<_> = (0..DRAWN).flat_map(|_| pairs(&draw())).collect();
    let mut sample = Vec::new();
    while !open.is_empty() {
        let new = |combination: &Vec<usize>| pairs(combination).iter().filter(|&p| open.contains(p)).count();
        let best = (0..TRIED).map(|_| draw()).max_by_key(new).expect("some are tried");
        pairs(&best).iter().for_each(|pair| {
            open.remove(pair);
        });
        if !sample.contains(&best) {
            sample.push(best);
        }
    }
    sample
}

/// Every two choices of a combination, each with its dimension.
fn pairs(combination: &[usize]) -> Vec<[(usize, usize); 2]> {
    let choices: Vec<_> = combination.iter().copied().enumerate().collect();
    choices.iter().flat_map(|&a| choices[a.0 + 1..].iter().map(move |&b| [a, b])).collect()
}

#[test]
fn each_two_meet() {
    let sample = pairwise(&[3, 4, 2, 5], |c| c[0] != 1 || c[1] != 2);
    let met = |a: usize, b: usize| sample.iter().any(|c| (c[0], c[1]) == (a, b));
    assert!((0..3).all(|a| (0..4).all(|b| met(a, b) == (a != 1 || b != 2))));
    assert!((0..4).all(|b| (0..5).all(|d| sample.iter().any(|c| (c[1], c[3]) == (b, d)))));
    assert!(sample.len() < 40, "{}", sample.len());
}
