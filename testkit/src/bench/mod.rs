//! What the crate's bench and `peers/` have in common. Needs nothing of the layer.

pub mod resnet;
pub mod results;
pub mod shapes;

/// The value in the middle; of an even number of them, the larger one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
