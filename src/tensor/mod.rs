//! The ground floor: what a tensor is and where it lies. Knows nothing of plans, kernels or layers.

mod binding;
mod shape;
mod storage;

pub(crate) use binding::{Aliasing, BindingLimits, Bound, check_overlaps};
pub use binding::{BindingError, Tensor};
pub use shape::{Shape, ShapeError};
pub use storage::StorageType;
