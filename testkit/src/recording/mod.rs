//! What the bench of recording measures and the test of allocations counts.

mod bare;
mod steps;

pub use bare::{Bare, Groups};
pub use steps::Steps;
