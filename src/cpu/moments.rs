use super::Options;
use super::valid::valid_indices;
use crate::tensor::Shape;

/// Moments: what can be merged of the statistics of some values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// How many values.
    pub count: f64,
    /// Their mean; 0 of no values.
    pub mean: f64,
    /// Their biased variance; 0 of no values.
    pub variance: f64,
}

/// The moments of each feature's valid values, in two passes. Twin of shaders/forward/split_moments.wgsl.
pub fn moments(x: &[f32], shape: Shape, options: &Options<'_>) -> Vec<Moments> {
    let of_feature = |feature| {
        let values = || valid_indices(shape, feature, options).map(|i| f64::from(x[i]));
        let count = values().count() as f64;
        if count == 0.0 {
            return Moments::default();
        }
        let mean = values().sum::<f64>() / count;
        Moments { count, mean, variance: values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count }
    };
    (0..shape.features() as usize).map(of_feature).collect()
}

/// The moments of the union (Chan, Golub & LeVeque 1979). Twin of `merge_moments` in shaders/forward/moments.wgsl.
pub fn merge(a: Moments, b: Moments) -> Moments {
    if a.count == 0.0 || b.count == 0.0 {
        return if a.count == 0.0 { b } else { a };
    }
    let count = a.count + b.count;
    let share = b.count / count;
    let difference = b.mean - a.mean;
    Moments {
        count,
        mean: a.mean + difference * share,
        variance: a.variance
            + (b.variance - a.variance) * share
            + difference * share * (difference * (1.0 - share)),
    }
}
