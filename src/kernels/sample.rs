//! A sample of all variants: each value of each dimension beside each value of each other one.

/// Some of the combinations of one value per dimension, each given by its index in 0..sizes[dimension]: enough that every
/// two values of two dimensions that a valid combination has are together in one of them.
pub(super) fn pairwise(sizes: &[usize], valid: impl Fn(&[usize]) -> bool) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> =
        product(sizes).into_iter().filter(|combination| valid(combination)).collect();
    let values: usize = sizes.iter().sum();
    // A pair's place: which value of all dimensions', beside which.
    let first: Vec<usize> = (0..sizes.len()).map(|dimension| sizes[..dimension].iter().sum()).collect();
    let place = |[a, b]: [(usize, usize); 2]| (first[a.0] + a.1) * values + first[b.0] + b.1;
    let mut open = vec![false; values * values];
    all.iter().flat_map(|combination| pairs(combination)).for_each(|pair| open[place(pair)] = true);
    let mut sample = Vec::new();
    // First those with the most pairs that no other has yet.
    let most = sizes.len() * (sizes.len() - 1) / 2;
    for wanted in (1..=most).rev() {
        all.retain(|combination| {
            let new = pairs(combination).filter(|&pair| open[place(pair)]).count();
            if new >= wanted {
                pairs(combination).for_each(|pair| open[place(pair)] = false);
                sample.push(combination.clone());
            }
            new > 0 && new < wanted
        });
    }
    sample
}

/// Every combination.
pub(super) fn product(sizes: &[usize]) -> Vec<Vec<usize>> {
    sizes.iter().fold(vec![Vec::new()], |combinations, &size| {
        let with = |combination: &Vec<usize>| {
            let combination = combination.clone();
            (0..size).map(move |value| combination.iter().copied().chain([value]).collect::<Vec<_>>())
        };
        combinations.iter().flat_map(with).collect()
    })
}

/// Every two values of a combination, each with its dimension.
fn pairs(combination: &[usize]) -> impl Iterator<Item = [(usize, usize); 2]> + '_ {
    let values = combination.iter().copied().enumerate();
    values.flat_map(move |a| combination.iter().copied().enumerate().skip(a.0 + 1).map(move |b| [a, b]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_valid_pair_is_there() {
        let sizes = [3, 2, 4, 3];
        let valid = |combination: &[usize]| combination[0] != 1 || combination[2] != 3;
        let sample = pairwise(&sizes, valid);
        let of = |combinations: &[Vec<usize>]| -> HashSet<_> {
            combinations.iter().flat_map(|combination| pairs(combination)).collect()
        };
        let all: Vec<_> = product(&sizes).into_iter().filter(|combination| valid(combination)).collect();
        assert_eq!(of(&sample), of(&all));
        assert!(sample.iter().all(|combination| valid(combination)));
        assert!((12..20).contains(&sample.len()), "{} of {}", sample.len(), all.len());
    }
}
