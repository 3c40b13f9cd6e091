#![doc = include_str!("../README.md")]
#![deny(missing_docs, unsafe_code)]

mod kernels;
mod layer;
mod plan;
mod tensor;
mod tune;

#[cfg(feature = "safetensors")]
pub mod checkpoint;
#[cfg(feature = "headless")]
pub mod headless;

pub use kernels::{Context, ContextOptions, DeviceError, PipelineError, shaders};
#[doc(hidden)]
pub use kernels::{pairs, pairwise, shaders_of};
pub use layer::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Convention, DescriptorError, Evaluation,
    Finalize, FinalizeGradients, FinalizeGradientsStep, FinalizeStep, ForwardStep, Guard, LayerBuffers,
    LayerStateError, Mask, Moments, MomentsStep, Names, PrepareError, ReadError, State, StateError,
    StateTensor, Statistics, Step, TensorError, Training, read_states, set_states,
};
#[doc(hidden)]
pub use layer::{DispatchBinding, DispatchDescription};
#[doc(hidden)]
pub use plan::Holding;
pub use plan::{
    Activation, ActivationError, Costs, CustomActivation, DeviceProfile, Epilogue, GpuCosts, MaskKind, Op,
    ParsePlanError, ParseWisdomError, Path, Plan, PlanError, PlanRequest, PreActivation, ResidualGradient,
    SoftwareCosts, View, Wisdom, WisdomEntry, Work,
};
pub use tensor::{BindingError, Shape, ShapeError, StorageType, Tensor, TensorBinding};
pub use tune::{Progress, Timing, Tune, TuneError, Tuned};
pub use wgpu;

/// The examples of docs/parts.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/parts.md")]
struct StatisticsInParts;

/// The example of docs/views.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/views.md")]
struct Views;

pub mod cpu;
pub mod exchange;
pub mod fold;

/// The programs of docs/, which are compiled and run as tests.
#[cfg(all(doctest, feature = "headless", feature = "safetensors"))]
mod pages {
    #[doc = include_str!("../docs/checkpoints.md")]
    struct Checkpoints;

    #[doc = include_str!("../docs/tuning.md")]
    struct Tuning;
}
