//! A rank of an MPI communicator.

use std::io::Write;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives;
use wgpu_batchnorm::exchange::Exchange;

use crate::MpiError;
use crate::call::{Call, Numbers};

/// A rank of a group of processes, to be made before anything that may fail on one rank alone.
///
/// Dropping it tells the other ranks, whose next exchange fails then; it waits for them to come to that exchange, or to
/// drop theirs.
pub struct MpiRank<'universe> {
    /// A duplicate, so that messages of the caller's own are never taken for these.
    communicator: SimpleCommunicator,
    time_limit: Option<Duration>,
    /// Why nothing more can be exchanged.
    ended: Option<MpiError>,
    /// MPI must not be finalized before the rank has left.
    universe: PhantomData<&'universe Universe>,
}

impl<'universe> MpiRank<'universe> {
    /// A rank of all processes that were started together. All of them must call this.
    pub fn world(universe: &'universe Universe) -> Self {
        Self::of(universe, &universe.world())
    }

    /// A rank of the processes of a communicator, such as those that share a model. All of them must call this.
    pub fn of(_: &'universe Universe, group: &impl Communicator) -> Self {
        Self { communicator: group.duplicate(), time_limit: None, ended: None, universe: PhantomData }
    }

    /// How long this rank waits for the others, in an exchange or when it leaves, before it ends all processes of the group
    /// by `MPI_Abort`. Without a limit it waits for as long as all processes live.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// The rank's place, from 0.
    pub fn rank(&self) -> usize {
        self.communicator.rank() as usize
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.communicator.size() as usize
    }

    /// Makes sure that all ranks make this call.
    fn agree(&mut self, call: Call) -> Result<(), MpiError> {
        if let Some(error) = self.ended {
            return Err(error);
        }
        let agreed = call.agreed(self.largest(&call.numbers()));
        self.ended = agreed.err().filter(|error| matches!(error, MpiError::RankLeft { .. }));
        agreed
    }

    /// The largest of all ranks' numbers.
    fn largest(&self, own: &Numbers) -> Numbers {
        let (group, mut all) = (&self.communicator, [0; 3]);
        let Some(limit) = self.time_limit else {
            group.all_reduce_into(own, &mut all, SystemOperation::max());
            return all;
        };
        mpi::request::scope(|scope| {
            let start = Instant::now();
            let maximum = SystemOperation::max();
            let mut request = group.immediate_all_reduce_into(scope, own, &mut all, maximum);
            while let Err(unfinished) = request.test() {
                if start.elapsed() > limit {
                    let rank = self.rank();
                    // In one write, so that mpirun mixes it with no other rank's.
                    let line = format!("rank {rank} has waited {limit:?} for the others and ends all\n");
                    let _ = std::io::stderr().write_all(line.as_bytes());
                    group.abort(1);
                }
                std::thread::yield_now();
                request = unfinished;
            }
        });
        all
    }
}

impl Exchange for MpiRank<'_> {
    type Error = MpiError;

    fn all_gather(&mut self, values: &[f32]) -> Result<Vec<f32>, MpiError> {
        self.agree(Call::AllGather(values.len()))?;
        let mut all = vec![0.0; values.len() * self.size()];
        self.communicator.all_gather_into(values, &mut all[..]);
        Ok(all)
    }

    /// MPI requires that all ranks get the same sums. That they are the same in each run is its advice to
    /// implementations, which Open MPI's algorithms follow by default.
    fn all_reduce(&mut self, values: &mut [f64]) -> Result<(), MpiError> {
        self.agree(Call::AllReduce(values.len()))?;
        let own = values.to_vec();
        self.communicator.all_reduce_into(&own[..], values, SystemOperation::sum());
        Ok(())
    }
}

impl Drop for MpiRank<'_> {
    fn drop(&mut self) {
        // An error says that another rank has left, too.
        let _ = self.agree(Call::Leave(self.rank()));
    }
}

impl std::fmt::Debug for MpiRank<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { time_limit, ended, .. } = self;
        let (rank, size) = (self.rank(), self.size());
        f.debug_struct("MpiRank")
            .field("rank", &rank)
            .field("size", &size)
            .field("time_limit", time_limit)
            .field("ended", ended)
            .finish()
    }
}
