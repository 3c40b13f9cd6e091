use super::parts::{Finalized, apply, finalize, moments};
use super::{Layer, Options, Saved};
use crate::tensor::Shape;

/// What a forward gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// The output.
    pub y: Vec<f64>,
    /// What backward needs of each feature.
    pub saved: Vec<Saved>,
    /// The features whose running statistics the guard kept from moving.
    pub skipped: Vec<usize>,
}

/// Training forward; moves the running statistics and counts the batch, if the layer tracks and the options let it.
/// Twin of shaders/forward/cached.wgsl and persistent.wgsl, which differ in how often they read.
pub fn train(x: &[f32], shape: Shape, layer: &mut Layer, options: &Options<'_>) -> Forward {
    let Finalized { saved, skipped } = finalize(&moments(x, shape, options), layer, options);
    Forward { y: apply(x, shape, &saved, options), saved, skipped }
}

/// Evaluation: the running statistics normalize; those of the batch where the layer does not track. Of the options the
/// epilogue and the mask matter. Twin of shaders/forward/evaluate.wgsl.
pub fn evaluate(x: &[f32], shape: Shape, layer: &Layer, options: &Options<'_>) -> Forward {
    let saved: Vec<Saved> = if layer.descriptor.track_running_stats {
        (0..shape.features() as usize).map(|c| Saved::of_running(layer, c)).collect()
    } else {
        let of_feature = |(c, moments)| Saved::of_moments(layer, c, moments);
        moments(x, shape, options).iter().enumerate().map(of_feature).collect()
    };
    Forward { y: apply(x, shape, &saved, options), saved, skipped: Vec::new() }
}
