//! What a caller touches: layers, the steps they prepare, and their state.

mod backward;
mod backward_tensors;
mod bindings;
mod buffers;
mod descriptor;
mod dispatch;
mod error;
mod forward;
mod forward_tensors;
mod gradient_parts;
mod gradients;
mod guard;
mod mask;
mod norm;
mod parts;
mod planned;
mod prepared;
mod requests;
mod saved;
mod state;
mod step;

pub use backward::BackwardStep;
pub use buffers::LayerBuffers;
pub use descriptor::{BatchNormDescriptor, Convention};
pub use dispatch::{DispatchBinding, DispatchDescription};
pub use error::{DescriptorError, PrepareError, ReadError, StateError};
pub use forward::ForwardStep;
pub use gradient_parts::{FinalizeGradients, FinalizeGradientsStep};
pub use gradients::Backward;
pub use guard::Guard;
pub use mask::Mask;
pub use norm::BatchNorm;
pub use parts::{Finalize, FinalizeStep, Moments, MomentsStep};
pub use requests::{Evaluation, Statistics, Training};
#[cfg(feature = "safetensors")]
pub(crate) use state::NAMED;
pub use state::{LayerStateError, Names, State, StateTensor, TensorError, read_states, set_states};
pub use step::Step;
