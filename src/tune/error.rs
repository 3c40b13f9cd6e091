use crate::layer::{DescriptorError, PrepareError};
use crate::plan::PlanError;

/// Why nothing was measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// There is no time to measure anything.
    #[error("the budget must be longer than 0")]
    Budget,
    /// The work is on a part of a batch, or none that the layer does.
    #[error(
        "tuning measures training, evaluation and backward of whole batches, as the layer prepares them, given {given}: \
         take Plan::work of a step of this layer"
    )]
    Work {
        /// What was asked for.
        given: String,
    },
    /// The device has no room for the scratch tensors.
    #[error(
        "the device has no room for scratch tensors of {required} bytes: tune a smaller batch, or free memory"
    )]
    Memory {
        /// Bytes of all of them.
        required: u64,
    },
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The work cannot be prepared as it would be by default.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The scratch layer could not be made.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The device gave up (lost, or out of memory).
    #[error("the device could not be measured: {0}")]
    Device(String),
}
