use crate::kernels::DeviceError;
use crate::tensor::{BindingError, Tensor};

/// Why a batch norm could not be folded. Nothing has been changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The state has no running statistics: an evaluation then depends on its batch.
    #[error("running statistics are needed, the state has none: train with track_running_stats first")]
    NotTracked,
    /// eps is negative, or not a number.
    #[error("eps must be at least 0, given {given:e}")]
    Eps {
        /// What was given.
        given: f32,
    },
    /// A tensor has another number of values than it should.
    #[error("{tensor} must have {required} values, given {given}")]
    Length {
        /// Which tensor.
        tensor: &'static str,
        /// Values by the shape of the weight, or by the running mean.
        required: usize,
        /// Values there are.
        given: usize,
    },
    /// The batch norm's features are not the layer's channels.
    #[error(
        "the layer has {required} {channels}, the batch norm {given} features: check which layer it is next to"
    )]
    Features {
        /// Which channels the batch norm is next to: "outputs" or "inputs".
        channels: &'static str,
        /// How many of them.
        required: usize,
        /// The batch norm's features.
        given: usize,
    },
    /// The groups do not divide the channels.
    #[error("{groups} groups must divide {outputs} outputs and {inputs} inputs")]
    Groups {
        /// How many groups.
        groups: usize,
        /// Output channels.
        outputs: usize,
        /// Input channels.
        inputs: usize,
    },
    /// The layer after the batch norm pads with zeros, which the batch norm does not shift.
    #[error(
        "the layer after the batch norm pads with zeros, which the batch norm would not shift: keep the batch norm, \
         fold it into the layer before it, or pad with -shift / scale"
    )]
    Padding,
    /// The layer after the batch norm is a transposed convolution, whose outputs do not all see the same weights.
    #[error(
        "the layer after the batch norm is a transposed convolution, whose outputs see different parts of the \
         kernel: keep the batch norm, or fold it into the layer before it"
    )]
    Transposed,
    /// A result is infinite or not a number in float32.
    #[error("{tensor} of feature {feature} must be finite in float32, it would be {given:e}")]
    NotFinite {
        /// Which result: "scale", "shift", "weight" or "bias".
        tensor: &'static str,
        /// The batch norm's feature, or the layer's output.
        feature: usize,
        /// What it would be.
        given: f64,
    },
    /// A binding cannot be used.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The kernel binds more buffers than the device lets it.
    #[error(
        "folding on the device binds {required} storage buffers, the device has {given}: request a higher \
         max_storage_buffers_per_shader_stage, or fold on the host"
    )]
    StorageBuffers {
        /// What the kernel binds.
        required: u32,
        /// The device's `max_storage_buffers_per_shader_stage`.
        given: u32,
    },
    /// The device is lost or out of memory, or a buffer is of another device or destroyed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A folded tensor lies in a buffer that is read, which WebGPU does not bind for writing at the same time.
    #[error("{tensor}: the buffer is read by the same dispatch: choose another buffer")]
    SameBuffer {
        /// Which tensor.
        tensor: Tensor,
    },
}
