//! What can be wrong, with what was required and what was given.

use crate::kernels::{DeviceError, PipelineError};
use crate::plan::{MaskKind, PlanError};
use crate::tensor::{BindingError, Shape, ShapeError, Tensor};

/// Why a layer could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The device has no compute shaders (WebGL, old OpenGL).
    #[error("the device has no compute shaders: choose another backend or adapter")]
    NoCompute,
    /// A layer needs at least one feature.
    #[error("features must be at least 1, given {given}")]
    Features {
        /// What the descriptor says.
        given: u32,
    },
    /// The state of that many features does not fit a storage binding of the device.
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
    /// A buffer of the caller's for one of the layer's vectors cannot be used.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The device is lost, or has no memory for the layer.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Another buffer is given for a vector that is in the layer's own buffer.
    #[error("{tensor}: the vector is in the layer's own buffer: give with_buffers one of yours")]
    LayersOwn {
        /// The vector.
        tensor: Tensor,
    },
    /// A buffer is given for a vector that the layer does not have.
    #[error("{tensor}: the descriptor says that the layer has none")]
    NoParameter {
        /// The vector.
        tensor: Tensor,
    },
}

/// Why work could not be prepared. Nothing has been recorded or changed; the layer stays usable.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The layer cannot work on the shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A binding cannot be used.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device refuses a pipeline.
    #[error(transparent)]
    Pipeline(PipelineError),
    /// The device is lost or out of memory, or a buffer is of another device or destroyed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Batch statistics need two values per feature ("Expected more than 1 value per channel when training").
    #[error(
        "batch statistics need at least 2 values per feature, the shape has {given} ({shape}): evaluate (running \
         statistics), drop a last batch of one, or take larger batches"
    )]
    OneValuePerFeature {
        /// Values per feature.
        given: u64,
        /// The shape.
        shape: Shape,
    },
    /// The binding is in the buffer of the layer's own vectors, such as its weight.
    #[error("{tensor}: the buffer is the layer's own state, a buffer of the caller's is required")]
    LayersOwn {
        /// Whose binding.
        tensor: Tensor,
    },
    /// A running statistic is asked for that the layer does not track.
    #[error(
        "running statistics are needed, the layer was made with track_running_stats: false: use batch statistics, or \
         track"
    )]
    NotTracked,
    /// The forward step was prepared by another layer.
    #[error("the backward of a step must be prepared by the layer that prepared the step")]
    OtherLayer,
    /// The forward step works in place: when backward needs x or the residual, y has taken its place.
    #[error(
        "{tensor}: the step was prepared in place and y overwrites it, which backward reads: keep a copy and pass it \
         with Backward::{tensor}, or prepare the forward step with another output"
    )]
    Overwritten {
        /// [`Tensor::Input`] or [`Tensor::Residual`].
        tensor: Tensor,
    },
    /// Backward is of another run of the forward step, and reads a tensor of that run.
    #[error(
        "{tensor}: Backward::saved is of another run of the step: pass the tensor of that run, with Backward::{tensor}"
    )]
    NotGiven {
        /// [`Tensor::Input`], [`Tensor::Residual`] or [`Tensor::Output`].
        tensor: Tensor,
    },
    /// A gradient of the residual is asked for, of a forward step that has none.
    #[error("residual_gradient: the forward step was prepared without a residual")]
    NoResidual,
    /// A tensor of backward lies where the forward step has another one.
    #[error("{tensor}: the binding overlaps the forward step's {given}: {tensor} is another tensor")]
    ForwardsTensor {
        /// The tensor of backward.
        tensor: Tensor,
        /// The forward step's tensor that it was given.
        given: Tensor,
    },
    /// A gradient is asked for that is of no parameter of the layer.
    #[error("{tensor}: the layer was made without this parameter")]
    NoParameter {
        /// The gradient.
        tensor: Tensor,
    },
    /// A step is bound to another kind of mask than it was prepared with, or a backward has a mask and its forward none.
    #[error("mask: {} is required, as in the preparation, given {}: prepare another step", kind(.required), kind(.given))]
    OtherMask {
        /// What the step was prepared with.
        required: Option<MaskKind>,
        /// What it is bound to.
        given: Option<MaskKind>,
    },
    /// The share of a batch's statistics in the running ones.
    #[error("batch_share must be in 0..=1, given {given}")]
    BatchShare {
        /// What was asked for.
        given: f32,
    },
    /// The one gradient that a step is for is not asked for.
    #[error("{tensor}: is what the step is for, and not given")]
    NoGradient {
        /// The gradient.
        tensor: Tensor,
    },
    /// A gradient is asked for of a step that does not write it.
    #[error("{tensor}: this step does not write it: {writes} does")]
    OtherStep {
        /// The gradient.
        tensor: Tensor,
        /// The call that prepares the step that does.
        writes: &'static str,
    },
    /// The backward of a part of a batch is asked for as if the part were the batch.
    #[error(
        "the step normalizes a part of a batch with the statistics of all: prepare its backward in parts, with \
         prepare_gradient_sums, prepare_finalize_gradients and prepare_input_gradient"
    )]
    PartOfBatch,
    /// A tensor of a step is rebound to ranges that do not hold what its dispatches bind.
    #[error(
        "{tensor}: its ranges end elsewhere than those that the step was prepared with: prepare another step"
    )]
    OtherRanges {
        /// The tensor.
        tensor: Tensor,
    },
    /// A step is rebound to more or fewer tensors than it was prepared for.
    #[error("{tensor}: the step was prepared {}: prepare another", if *required { "with it" } else { "without it" })]
    OtherTensors {
        /// The tensor.
        tensor: Tensor,
        /// Whether it was there when the step was prepared.
        required: bool,
    },
}

impl From<PipelineError> for PrepareError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Device(error) => Self::Device(error),
            error => Self::Pipeline(error),
        }
    }
}

fn kind(mask: &Option<MaskKind>) -> &'static str {
    match mask {
        Some(MaskKind::Lengths) => "one of lengths",
        Some(MaskKind::Positions) => "one of positions",
        None => "none",
    }
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
    /// A variance is negative, or not a number.
    #[error("running_var[{index}] must be at least 0, given {given}")]
    Variance {
        /// Which value.
        index: usize,
        /// The value.
        given: f32,
    },
    /// A buffer of the caller's was not created for writing.
    #[error("{vector}: the buffer must be created with COPY_DST")]
    Usage {
        /// Which vector.
        vector: Tensor,
    },
    /// The device is lost or out of memory, or the queue or a buffer is of another device.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Why the state could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The device is lost or out of memory, or the queue or a buffer is of another device.
    #[error("the state could not be read: {0}")]
    Device(#[from] DeviceError),
    /// A buffer of the caller's was not created for reading.
    #[error("{vector}: the buffer must be created with COPY_SRC")]
    Usage {
        /// Which vector.
        vector: Tensor,
    },
}
