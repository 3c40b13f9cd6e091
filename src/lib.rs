#![doc = include_str!("../README.md")]
#![deny(missing_docs, unsafe_code)]

mod kernels;
mod layer;
mod plan;
mod tensor;

#[cfg(feature = "headless")]
pub mod headless;

pub use kernels::{Context, ContextOptions, PipelineError, shaders};
pub use layer::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Convention, DescriptorError, Evaluation,
    Finalize, FinalizeGradients, FinalizeGradientsStep, FinalizeStep, ForwardStep, LayerBuffers, Moments,
    MomentsStep, PrepareError, ReadError, State, StateError, Statistics, Step, Training, read_states,
};
#[doc(hidden)]
pub use layer::{DispatchBinding, DispatchDescription};
pub use plan::{
    Activation, Costs, CustomActivation, DeviceProfile, Epilogue, GpuCosts, Op, ParsePlanError, Path, Plan,
    PlanError, PlanRequest, SoftwareCosts, View,
};
pub use tensor::{BindingError, Shape, ShapeError, StorageType, Tensor, TensorBinding};
pub use wgpu;

/// The examples of docs/parts.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/parts.md")]
struct StatisticsInParts;

pub mod cpu;
pub mod exchange;
