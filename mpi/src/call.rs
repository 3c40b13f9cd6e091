//! What travels ahead of every exchange, so that ranks which do different things find out instead of waiting for ever.

use crate::MpiError;

/// What a rank is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Gather so many values of each rank.
    AllGather(usize),
    /// Add up so many values of all ranks.
    AllReduce(usize),
    /// Go, as the rank of this number.
    Leave(usize),
}

/// A call in numbers: who leaves, counted from 1; a code of the call; the code's complement. Of all ranks' numbers the
/// largest are taken, so that the last two are complements only where all ranks make the same call.
pub(crate) type Numbers = [u64; 3];

impl Call {
    pub(crate) fn numbers(self) -> Numbers {
        let code = match self {
            Self::AllGather(values) => 2 * values as u64,
            Self::AllReduce(values) => 2 * values as u64 + 1,
            Self::Leave(rank) => return [rank as u64 + 1, 0, 0],
        };
        [0, code, !code]
    }

    /// Whether all ranks make this call, given the largest of their numbers.
    pub(crate) fn agreed(self, [leaver, code, complement]: Numbers) -> Result<(), MpiError> {
        match self {
            _ if leaver > 0 => Err(MpiError::RankLeft { rank: leaver as usize - 1 }),
            Self::AllGather(own) | Self::AllReduce(own) if code != !complement => {
                Err(MpiError::Calls { own })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each rank finds out.
    fn results<const N: usize>(calls: [Call; N]) -> [Result<(), MpiError>; N] {
        let numbers = calls.map(Call::numbers);
        let largest = std::array::from_fn(|i| numbers.iter().map(|numbers| numbers[i]).max().unwrap());
        calls.map(|call| call.agreed(largest))
    }

    #[test]
    fn equal_calls_agree() {
        for call in [Call::AllGather(0), Call::AllReduce(0), Call::AllGather(33), Call::AllReduce(1 << 30)] {
            assert_eq!(results([call; 3]), [Ok(()); 3]);
        }
    }

    #[test]
    fn other_lengths_and_other_calls_are_told_to_all() {
        let [few, many] = [Call::AllGather(5), Call::AllGather(6)];
        let told = |own| Err(MpiError::Calls { own });
        assert_eq!(results([few, many, few]), [told(5), told(6), told(5)]);
        assert_eq!(results([few, Call::AllReduce(5)]), [told(5); 2]);
    }

    #[test]
    fn a_rank_that_leaves_is_named() {
        let gone = Err(MpiError::RankLeft { rank: 2 });
        assert_eq!(
            results([Call::AllGather(5), Call::Leave(0), Call::Leave(2), Call::AllReduce(1)]),
            [gone; 4]
        );
    }
}
