//! An exchange among threads of one process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Exchange;

/// A rank that is gone: the others cannot wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rank is gone")]
pub struct RankLeft;

/// A rank of [`threads`]. Once it is dropped, the exchanges that others wait for it in fail.
#[derive(Debug)]
pub struct ThreadRank {
    rank: usize,
    shared: Arc<(Mutex<Round>, Condvar)>,
}

/// One exchange: what has been given, and what all get once everybody has given.
#[derive(Debug, Default)]
struct Round {
    given: Vec<Option<Vec<f64>>>,
    all: Option<Arc<Vec<Vec<f64>>>>,
    /// Ranks that have not taken `all` yet.
    readers: usize,
    left: bool,
}

/// So many ranks, in order, each to be moved to a thread of its own.
pub fn threads(ranks: usize) -> Vec<ThreadRank> {
    let round = Round { given: vec![None; ranks], ..Round::default() };
    let shared = Arc::new((Mutex::new(round), Condvar::new()));
    (0..ranks).map(|rank| ThreadRank { rank, shared: shared.clone() }).collect()
}

impl ThreadRank {
    /// The rank's place.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// What each rank gives.
    fn swap(&self, values: Vec<f64>) -> Result<Arc<Vec<Vec<f64>>>, RankLeft> {
        let (round, changed) = &*self.shared;
        let mut round = lock(round);
        let wait = |round| changed.wait(round).unwrap_or_else(PoisonError::into_inner);
        // Until all have taken what was given in the round before.
        while round.all.is_some() && !round.left {
            round = wait(round);
        }
        if round.left {
            return Err(RankLeft);
        }
        round.given[self.rank] = Some(values);
        if round.given.iter().all(Option::is_some) {
            round.readers = round.given.len();
            let all = round.given.iter_mut().map(|given| given.take().expect("all have given")).collect();
            round.all = Some(Arc::new(all));
            changed.notify_all();
        }
        let all = loop {
            match &round.all {
                Some(all) => break all.clone(),
                None if round.left => return Err(RankLeft),
                None => round = wait(round),
            }
        };
        round.readers -= 1;
        if round.readers == 0 {
            round.all = None;
            changed.notify_all();
        }
        Ok(all)
    }
}

fn lock(round: &Mutex<Round>) -> MutexGuard<'_, Round> {
    round.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        lock(&self.shared.0).left = true;
        self.shared.1.notify_all();
    }
}

impl Exchange for ThreadRank {
    type Error = RankLeft;

    fn all_gather(&mut self, values: &[f32]) -> Result<Vec<f32>, RankLeft> {
        let all = self.swap(values.iter().copied().map(f64::from).collect())?;
        Ok(all.iter().flatten().map(|&value| value as f32).collect())
    }

    fn all_reduce(&mut self, values: &mut [f64]) -> Result<(), RankLeft> {
        let all = self.swap(values.to_vec())?;
        for (i, value) in values.iter_mut().enumerate() {
            *value = all.iter().map(|given| given.get(i).copied().unwrap_or(f64::NAN)).sum();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each rank returns.
    fn on_ranks<T: Send>(ranks: usize, work: impl Fn(ThreadRank) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                threads(ranks).into_iter().map(|rank| scope.spawn(move || work(rank))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn many_rounds_are_in_order() {
        let sums = on_ranks(5, |mut rank| {
            let own = rank.rank() as f32;
            (0..1000).fold(0.0, |sum, round| {
                let gathered = rank.all_gather(&[own, round as f32]).unwrap();
                let want: Vec<f32> = (0..5).flat_map(|rank| [rank as f32, round as f32]).collect();
                assert_eq!(gathered, want);
                let mut values = [f64::from(own) + f64::from(round)];
                rank.all_reduce(&mut values).unwrap();
                sum + values[0]
            })
        });
        assert_eq!(sums, [1000.0 * 10.0 + 5.0 * 499_500.0; 5]);
    }

    #[test]
    fn a_rank_that_leaves_stops_no_other() {
        let results = on_ranks(4, |mut rank| {
            rank.all_gather(&[1.0]).unwrap();
            if rank.rank() == 2 { Ok(()) } else { rank.all_reduce(&mut [1.0]) }
        });
        assert_eq!(results, [Err(RankLeft), Err(RankLeft), Ok(()), Err(RankLeft)]);
    }
}
