//! The ground floor: what a tensor is and where it lies. Knows nothing of plans, kernels or layers.

mod binding;
mod ranges;
mod shape;
mod storage;

pub(crate) use binding::{Aliasing, BindingLimits, Bound, check_overlaps};
pub use binding::{BindingError, Tensor};
pub(crate) use ranges::BoundTensor;
pub use ranges::TensorBinding;
pub(crate) use shape::MAX_ELEMENTS;
pub use shape::{Shape, ShapeError};
pub use storage::StorageType;
