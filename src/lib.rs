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
    ForwardStep, Guard, LayerBuffers, Mask, PrepareError, ReadError, State, StateError, Statistics, Step,
    Training, read_states,
};
#[doc(hidden)]
pub use layer::{DispatchBinding, DispatchDescription};
pub use plan::{
    Activation, Costs, CustomActivation, DeviceProfile, Epilogue, GpuCosts, MaskKind, Op, ParsePlanError,
    Path, Plan, PlanError, PlanRequest, SoftwareCosts, View, Work,
};
pub use tensor::{BindingError, Shape, ShapeError, StorageType, Tensor};
pub use wgpu;

pub mod cpu;
