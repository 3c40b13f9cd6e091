//! Synchronised batch normalization over MPI: statistics of a batch whose shards lie on many machines.
//!
//! [`MpiRank`] is an [`Exchange`](wgpu_batchnorm::exchange::Exchange) over a communicator of the crate [`mpi`]. With it,
//! [`exchange_moments`](wgpu_batchnorm::exchange::exchange_moments) and
//! [`exchange_gradient_sums`](wgpu_batchnorm::exchange::exchange_gradient_sums) make the statistics of a layer those of
//! the whole batch. A record of C features moves between the ranks, and no tensor does.
//!
//! No rank waits for ever:
//!
//! | what happens to a rank | what the others see |
//! | --- | --- |
//! | it cannot read its record: its device is lost | [`ExchangeError::OtherRank`](wgpu_batchnorm::exchange::ExchangeError::OtherRank) in the same exchange |
//! | its [`MpiRank`] is dropped: an error returned, or a panic | [`MpiError::RankLeft`] in their next exchange |
//! | it exchanges something else: a layer of other features, or a batch more than the others | [`MpiError::Calls`], as it does |
//! | its process ends without MPI's leave: killed, or a panic that aborts | `mpirun` ends them all |
//! | it hangs | after [`MpiRank::time_limit`], if there is one, `MPI_Abort` ends them all |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod call;
mod error;
mod rank;

pub use error::MpiError;
pub use mpi;
pub use rank::MpiRank;

/// The examples of docs/mpi.md.
#[cfg(doctest)]
#[doc = include_str!("../../docs/mpi.md")]
struct Docs;
