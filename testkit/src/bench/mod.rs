//! What the crate's bench and `peers/` have in common. Needs nothing of the layer.

pub mod resnet;
pub mod results;
pub mod shapes;
