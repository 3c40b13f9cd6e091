use super::ActivationError;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The device is too small for the work, whatever the plan.
    #[error(
        "{limit}: the work needs {required}, the device has {given}: request a higher limit, or split the batch"
    )]
    DeviceLimit {
        /// The limit's name in `wgpu::Limits`.
        limit: &'static str,
        /// What the work needs.
        required: u64,
        /// What the device has.
        given: u64,
    },
    /// The activation is not possible.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// A dispatch would bind more buffers than the device lets it.
    #[error(
        "the work binds {required} storage buffers in a dispatch, the device has {given}: request a higher \
         max_storage_buffers_per_shader_stage, or leave all vectors in the layer's own buffer"
    )]
    StorageBuffers {
        /// What the work needs.
        required: u32,
        /// The device's `max_storage_buffers_per_shader_stage`.
        given: u32,
    },
    /// An example does not fit a binding, and tensors are cut between examples only.
    #[error(
        "an example (a position, where features are last) takes {required} bytes, the device binds at most {limit}: \
         request a higher max_storage_buffer_binding_size, or take smaller examples"
    )]
    ExampleTooLarge {
        /// Bytes of an example, and those before it from the last aligned offset on.
        required: u64,
        /// The smaller of the device's `max_storage_buffer_binding_size` and `max_buffer_size`.
        limit: u64,
    },
    /// The [`PlanRequest`](crate::PlanRequest) asks for what this shape on this device does not allow.
    #[error("the requested plan is not possible: {required}, given {given}")]
    Request {
        /// What would be possible.
        required: &'static str,
        /// What was asked for.
        given: String,
    },
}

impl PlanError {
    pub(crate) fn request(required: &'static str, given: impl ToString) -> Self {
        Self::Request { required, given: given.to_string() }
    }
}
