//! Plans that are measured on the device at hand, on scratch tensors. Beside copies and exchanges, the only part
//! of the crate that submits work by itself.

mod clock;
mod error;
mod fill;
mod request;
mod run;
mod scratch;
mod tuned;

pub use error::TuneError;
pub use request::{Progress, Tune};
pub use tuned::{Timing, Tuned};

use crate::layer::BatchNorm;
use clock::Waits;

impl BatchNorm {
    /// Measures the plans that seem promising for work of this layer, and says which is best. It takes as long as the budget
    /// says, and one pipeline more to compile at most: do it once, not before each step, and not while others use the device.
    /// [`Tuned::wisdom`] keeps what it finds.
    ///
    /// It submits work to the queue, on a scratch layer and scratch tensors of its own: tensors, parameters and statistics of
    /// the caller's stay as they are. Nothing else in this crate submits work, but copies and exchanges that say so. It needs
    /// memory for x and y, in backward for dy and dx, and what the work reads and writes beside; up to 256 MiB more on a GPU,
    /// so that no tensor is found in a cache.
    ///
    /// Where the device was made with `wgpu::Features::TIMESTAMP_QUERY`, its own clock tells the times. Otherwise they are from
    /// a submission to its end.
    ///
    /// On the web it yields to the browser while the device works. On native platforms it yields to the executor and asks to
    /// be called again at once: [`headless::Gpu::tune`](crate::headless::Gpu::tune) waits instead, and leaves the CPU to a
    /// software adapter.
    ///
    /// # Errors
    /// [`TuneError`]: a budget of 0, work of parts of a batch, no room for the tensors, a device that is lost. Plans that the
    /// device refuses are left out, but for the default one.
    pub async fn tune(&self, queue: &wgpu::Queue, tune: Tune<'_>) -> Result<Tuned, TuneError> {
        run::run(self, queue, tune, Waits::Yields).await
    }

    /// The same, waiting where the device works, so that the future is ready when it is first polled.
    #[cfg(all(feature = "headless", not(target_arch = "wasm32")))]
    pub(crate) async fn tune_waiting(&self, queue: &wgpu::Queue, tune: Tune<'_>) -> Result<Tuned, TuneError> {
        run::run(self, queue, tune, Waits::Blocks).await
    }
}
