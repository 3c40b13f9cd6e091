//! What the bench of recording measures and the test of allocations counts.

mod bare;
mod steps;

pub use bare::Bare;
pub use steps::Steps;
