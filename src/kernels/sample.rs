//! A sample of combinations: each value of each dimension beside each value of each other one. For shaders and for tests; not
//! part of the API.

/// Some of these combinations of one value per dimension: enough that every two values of two dimensions that are together
/// in one of all are together in one of them.
pub fn pairwise(all: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let dimensions = all.first().map_or(0, Vec::len);
    let size = |dimension: usize| all.iter().map(|c| c[dimension] + 1).max().unwrap_or(0);
    let sizes: Vec<usize> = (0..dimensions).map(size).collect();
    let values: usize = sizes.iter().sum();
    // A pair's place: which value of all dimensions', beside which.
    let first: Vec<usize> = (0..dimensions).map(|dimension| sizes[..dimension].iter().sum()).collect();
    let place = |[a, b]: [(usize, usize); 2]| (first[a.0] + a.1) * values + first[b.0] + b.1;
    let mut open = vec![false; values * values];
    all.iter().flat_map(|combination| pairs(combination)).for_each(|pair| open[place(pair)] = true);
    // Combinations by the number of pairs that no other had yet when they were counted, which only falls.
    let most = dimensions * dimensions.saturating_sub(1) / 2;
    let mut counted = vec![Vec::new(); most + 1];
    counted[most] = (0..all.len()).collect();
    let mut sample = Vec::new();
    for wanted in (1..=most).rev() {
        counted[wanted].sort_unstable();
        for i in std::mem::take(&mut counted[wanted]) {
            let new = pairs(&all[i]).filter(|&pair| open[place(pair)]).count();
            if new < wanted {
                counted[new].push(i);
                continue;
            }
            pairs(&all[i]).for_each(|pair| open[place(pair)] = false);
            sample.push(all[i].clone());
        }
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
pub fn pairs(combination: &[usize]) -> impl Iterator<Item = [(usize, usize); 2]> + '_ {
    let values = combination.iter().copied().enumerate();
    values.flat_map(move |a| combination.iter().copied().enumerate().skip(a.0 + 1).map(move |b| [a, b]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_valid_pair_is_there() {
        let valid = |combination: &Vec<usize>| combination[0] != 1 || combination[2] != 3;
        let all: Vec<_> = product(&[3, 2, 4, 3]).into_iter().filter(valid).collect();
        let sample = pairwise(&all);
        let of = |combinations: &[Vec<usize>]| -> HashSet<_> {
            combinations.iter().flat_map(|combination| pairs(combination)).collect()
        };
        assert_eq!(of(&sample), of(&all));
        assert!(sample.iter().all(valid));
        assert!((12..20).contains(&sample.len()), "{} of {}", sample.len(), all.len());
        assert_eq!(pairwise(&[]), Vec::<Vec<usize>>::new());
    }
}
