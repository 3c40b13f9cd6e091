//! Tests that see a single lost value: data whose results are exact, positions where a walk through a tensor begins or
//! ends, and buffers with a known pattern around every binding.
//!
//! Running statistics of mean 0 and variance 1 − eps normalize ([`rig`]), so that y, dx and the gradients of weight and
//! bias are integers, of which float32 forgets none; the statistics of the batch still are computed, to move the running
//! ones.

pub mod cases;
pub mod guards;
pub mod indices;
pub mod positions;
pub mod races;
pub mod rig;
pub(crate) mod steps;
