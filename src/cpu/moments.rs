/// Moments: what can be merged of the statistics of some values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// How many values.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Their biased variance.
    pub variance: f64,
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
