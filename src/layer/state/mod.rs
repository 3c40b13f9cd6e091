//! The layer's state on the host: what it is, its tensors under the names of frameworks, and copies to and from the device.

mod names;
mod tensors;
mod transfer;

pub use names::Names;
pub(crate) use tensors::NAMED;
pub use tensors::{StateTensor, TensorError};
pub(super) use transfer::submit_copy;
pub use transfer::{LayerStateError, read_states, set_states};

/// A copy of a layer's state, with PyTorch's state-dict names. Vectors have C values, or none where the layer has no
/// such vector.
///
/// With the feature `serde` it can be serialized; fields that are missing are then empty, or 0. JSON has no NaN and no
/// infinities. The feature `safetensors` reads and writes PyTorch's checkpoints (`checkpoint`). For any other format there
/// are [`State::tensors`] and [`State::from_tensors`].
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct State {
    /// γ.
    pub weight: Vec<f32>,
    /// β.
    pub bias: Vec<f32>,
    /// Running mean of each feature.
    pub running_mean: Vec<f32>,
    /// Running variance of each feature.
    pub running_var: Vec<f32>,
    /// Training steps that moved the running statistics. The device counts to 2³² − 1 and stays there.
    pub num_batches_tracked: u64,
}
