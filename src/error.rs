//! What can be wrong, with what was required and what was given.

use crate::shape::Shape;

/// Why a layer could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The device has no compute shaders (WebGL, old OpenGL).
    #[error("the device has no compute shaders")]
    NoCompute,
    /// A layer needs at least one feature.
    #[error("features must be at least 1, given {given}")]
    Features {
        /// What the descriptor says.
        given: u32,
    },
    /// The state of so many features does not fit a storage binding of the device.
    #[error("the state of {features} features takes {required} bytes, the device binds at most {limit}")]
    TooManyFeatures {
        /// What the descriptor says.
        features: u32,
        /// Bytes of the layer's state.
        required: u64,
        /// The smaller of the device's `max_storage_buffer_binding_size` and `max_buffer_size`.
        limit: u64,
    },
    /// eps keeps the root away from zero: it must be finite, above 0 and a normal float32.
    #[error("eps must be finite and at least {required:e}, given {given:e}")]
    Eps {
        /// The smallest eps, the smallest normal float32.
        required: f32,
        /// What the descriptor says.
        given: f32,
    },
    /// momentum is a share.
    #[error("momentum must be in 0..=1, given {given}")]
    Momentum {
        /// What the descriptor says.
        given: f32,
    },
}

/// Which of the caller's tensors an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tensor {
    /// x.
    Input,
    /// y.
    Output,
    /// dy, the gradient of the loss with respect to y.
    OutputGradient,
    /// dx, the gradient of the loss with respect to x.
    InputGradient,
    /// The gradient of the loss with respect to the weight.
    WeightGradient,
    /// The gradient of the loss with respect to the bias.
    BiasGradient,
}

impl std::fmt::Display for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Tensor::Input => "input",
            Tensor::Output => "output",
            Tensor::OutputGradient => "output_gradient",
            Tensor::InputGradient => "input_gradient",
            Tensor::WeightGradient => "weight_gradient",
            Tensor::BiasGradient => "bias_gradient",
        })
    }
}

/// Why work could not be prepared. Nothing has been recorded or changed; the layer stays usable.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The shape has other features than the layer.
    #[error("the layer has {required} features, the shape {given}")]
    Features {
        /// The layer's.
        required: u32,
        /// The shape's.
        given: u32,
    },
    /// A spatial axis is empty. (An empty batch is allowed.)
    #[error("spatial axes must be at least 1 long, given {given}")]
    EmptyAxis {
        /// The shape.
        given: Shape,
    },
    /// Indices are 32 bits wide.
    #[error("a tensor may have at most {limit} elements, given {given} ({shape})")]
    TooManyElements {
        /// The largest tensor.
        limit: u64,
        /// Elements of the shape; `u64::MAX` where the product overflows even that.
        given: u64,
        /// The shape.
        shape: Shape,
    },
    /// Batch statistics need two values per feature ("Expected more than 1 value per channel when training").
    #[error("batch statistics need at least 2 values per feature, the shape has {given} ({shape})")]
    OneValuePerFeature {
        /// Values per feature.
        given: u64,
        /// The shape.
        shape: Shape,
    },
    /// The tensor does not fit its binding.
    #[error("{tensor}: the binding must hold {required} bytes, given {given}")]
    TooSmall {
        /// Whose binding.
        tensor: Tensor,
        /// Bytes the shape needs.
        required: u64,
        /// Bytes from the binding's offset to its end, or the buffer's.
        given: u64,
    },
    /// The binding's offset is not a multiple of the device's alignment.
    #[error("{tensor}: the offset must be a multiple of {required}, given {given}")]
    Misaligned {
        /// Whose binding.
        tensor: Tensor,
        /// The device's `min_storage_buffer_offset_alignment`.
        required: u32,
        /// The binding's offset.
        given: u64,
    },
    /// The buffer was not created for this use.
    #[error("{tensor}: the buffer must be created with {required:?}, given {given:?}")]
    Usage {
        /// Whose binding.
        tensor: Tensor,
        /// What is missing.
        required: wgpu::BufferUsages,
        /// What the buffer has.
        given: wgpu::BufferUsages,
    },
    /// The tensor is larger than the device can bind.
    #[error("{tensor}: takes {required} bytes, the device binds at most {limit}")]
    BindingLimit {
        /// Whose binding.
        tensor: Tensor,
        /// Bytes the shape needs.
        required: u64,
        /// The device's `max_storage_buffer_binding_size`.
        limit: u64,
    },
    /// The binding is one of the layer's own vectors, such as its weight.
    #[error("{tensor}: the buffer is the layer's own state, a buffer of the caller's is required")]
    LayersOwn {
        /// Whose binding.
        tensor: Tensor,
    },
    /// Two bindings overlap without being the same.
    #[error("{first} and {second} overlap: they must be disjoint{}", if *in_place { ", or the same range (in place)" } else { "" })]
    Overlap {
        /// The one.
        first: Tensor,
        /// The other.
        second: Tensor,
        /// Whether these two may be the same range.
        in_place: bool,
    },
    /// The device is too small for the work, whatever the plan.
    #[error("{limit}: the work needs {required}, the device has {given}")]
    DeviceLimit {
        /// The limit's name in `wgpu::Limits`.
        limit: &'static str,
        /// What the work needs.
        required: u64,
        /// What the device has.
        given: u64,
    },
    /// The [`PlanRequest`](crate::PlanRequest) asks for what this shape on this device does not allow.
    #[error("the requested plan is not possible: {required}, given {given}")]
    Plan {
        /// What would be possible.
        required: &'static str,
        /// What was asked for.
        given: String,
    },
    /// A running statistic is asked for that the layer does not track.
    #[error("running statistics are needed, the layer was made with track_running_stats: false")]
    NotTracked,
    /// The forward step was prepared by another layer.
    #[error("the backward of a step must be prepared by the layer that prepared the step")]
    OtherLayer,
    /// The forward step was prepared for another shape.
    #[error("the step was prepared for {required}, the backward for {given}")]
    OtherShape {
        /// The step's shape.
        required: Shape,
        /// The backward's.
        given: Shape,
    },
    /// The forward step works in place: when backward needs x, y has taken its place.
    #[error("input: the step was prepared in place and overwrites x; backward needs x as the step read it")]
    Overwritten,
    /// A gradient is asked for that is of no parameter of the layer.
    #[error("{tensor}: the layer was made without this parameter")]
    NoParameter {
        /// The gradient.
        tensor: Tensor,
    },
}

/// Why the state could not be set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A vector of the state has another length than the layer has features.
    #[error("{vector} must have {required} values, given {given}")]
    Length {
        /// Which vector.
        vector: &'static str,
        /// The layer's features, or 0 where the layer has no such vector.
        required: usize,
        /// The vector's length.
        given: usize,
    },
}

/// Why the state could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The device gave up (lost, or out of memory).
    #[error("the state could not be read from the device: {0}")]
    Device(String),
}
