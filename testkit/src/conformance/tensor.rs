//! What files are read into and results are published as.

use safetensors::Dtype;

/// A message that names what was required and what was given.
pub type Result<T> = std::result::Result<T, String>;

/// A shape and its values, widened to float64, which is exact.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub values: Vec<f64>,
}
