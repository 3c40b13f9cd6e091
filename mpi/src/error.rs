/// Why ranks could not exchange values. All ranks have the same error in the same exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MpiError {
    /// A rank is gone, and with it the group: every later exchange fails as well.
    #[error("rank {rank} has left")]
    RankLeft {
        /// The last of those that are gone.
        rank: usize,
    },
    /// The ranks did not all ask for the same exchange. None has taken place; the next one may.
    #[error(
        "this rank exchanges {own} values and another one something else: do all layers have as many features, and \
         do all ranks train as many batches?"
    )]
    Calls {
        /// How many values this rank gave.
        own: usize,
    },
}
