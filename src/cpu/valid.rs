use super::Options;
use crate::tensor::Shape;

/// The indices of each feature's valid values, in the tensor's order. The mask has the tensor's order without the features.
pub(super) fn valid_indices(
    shape: Shape,
    feature: usize,
    options: &Options<'_>,
) -> impl Iterator<Item = usize> {
    let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
    let features = shape.features() as usize;
    let valid = options.valid;
    (0..outer).flat_map(move |o| {
        let is_valid = move |i: &usize| valid.is_none_or(|valid| valid[o * inner + i]);
        (0..inner).filter(is_valid).map(move |i| (o * features + feature) * inner + i)
    })
}
