#![doc = include_str!("../README.md")]
#![deny(missing_docs, unsafe_code)]

mod backward;
mod binding;
mod cost;
pub mod cpu;
mod descriptor;
mod dispatch;
mod error;
mod forward;
mod grid;
#[cfg(feature = "headless")]
pub mod headless;
mod kernels;
mod layer;
mod machine;
mod params;
mod plan;
mod prepared;
mod shape;
mod state;

pub use backward::{Backward, BackwardStep, Forward};
pub use descriptor::{BatchNormDescriptor, Convention};
#[doc(hidden)]
pub use dispatch::{DispatchBinding, DispatchDescription};
pub use error::{DescriptorError, PrepareError, ReadError, StateError, Tensor};
pub use forward::{Evaluation, EvaluationStep, Statistics, Training, TrainingStep};
pub use kernels::{Context, shaders};
pub use layer::BatchNorm;
pub use plan::{Path, Plan, PlanRequest, View};
pub use shape::Shape;
pub use state::State;
pub use wgpu;
