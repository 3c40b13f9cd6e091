//! What keeps running statistics from moving with batches that are not finite.

use std::future::Future;

use super::state::submit_copy;
use super::{BatchNorm, ReadError};
use crate::tensor::Bound;

/// What becomes of the running statistics of a feature whose batch statistics are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Guard {
    /// They move as ever, and are infinite or NaN from then on: as in PyTorch.
    #[default]
    None,
    /// They stay as they were, and the feature's count in [`BatchNorm::skipped`] grows by 1. Not finite is a mean or a
    /// variance that is NaN or infinite, also since it is beyond float32. The batch is counted in `num_batches_tracked` all
    /// the same, and y is what it would be without a guard.
    SkipNonFinite,
}

impl BatchNorm {
    /// How many batches [`Guard::SkipNonFinite`] has skipped, for each feature, on the device: C u32, in a buffer with
    /// `COPY_SRC` and `COPY_DST`. They stay at 2³² − 1 once they are there. `None` where nothing is tracked.
    pub fn skipped(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.vectors.skipped().map(Bound::binding)
    }

    /// Copies [`skipped`](Self::skipped) to the host, as it is after all work submitted before this call; nothing where nothing is
    /// tracked. Waits as [`read_state`](Self::read_state) does.
    ///
    /// # Errors
    /// [`ReadError`], where the device is lost or out of memory.
    pub fn read_skipped(
        &self,
        queue: &wgpu::Queue,
    ) -> impl Future<Output = Result<Vec<u32>, ReadError>> + use<> {
        let skipped = self.vectors.skipped();
        let copy = skipped.map(|skipped| submit_copy(self, queue, vec![(skipped, skipped.bytes)]));
        async {
            let Some(copy) = copy else { return Ok(Vec::new()) };
            Ok(bytemuck::pod_collect_to_vec(&copy?.read().await?))
        }
    }
}
