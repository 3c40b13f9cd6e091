//! A sample of the mutants, from all files and rules.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};

use super::list::Mutant;

/// So many mutants: one of each file in turn, each time of the rule that was drawn least. The same for the same seed; a
/// larger count goes on where a smaller one ends.
pub fn draw(mut mutants: Vec<Mutant>, seed: u64, count: usize) -> Vec<Mutant> {
    mutants.shuffle(&mut StdRng::seed_from_u64(seed));
    let mut files = BTreeMap::<_, Vec<Mutant>>::new();
    for mutant in mutants {
        files.entry(mutant.file.clone()).or_default().push(mutant);
    }
    let mut drawn: Vec<Mutant> = vec![];
    while files.values().any(|left| !left.is_empty()) {
        for left in files.values_mut() {
            let times = |mutant: &Mutant| drawn.iter().filter(|other| other.rule == mutant.rule).count();
            let rarest = left.iter().enumerate().min_by_key(|(_, mutant)| times(mutant)).map(|(at, _)| at);
            if let Some(at) = rarest {
                drawn.push(left.remove(at));
            }
            if drawn.len() == count {
                return drawn;
            }
        }
    }
    drawn
}
