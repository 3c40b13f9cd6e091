//! Named data that float32 statistics get wrong where a sum is long, or a shift is chosen from a few values.

use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};
use wgpu_batchnorm::Shape;

use crate::layout::Layout;

/// What each feature's values are, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// N(0, 1).
    Normal,
    /// From 0 up to 1, beside the feature's number: sorted, so that no part of it is like the whole.
    RampUp,
    /// From 5 down to 4.
    RampDown,
    /// 97 % and more are zero.
    Sparse,
    /// Eight plateaus, 100 apart, with a hundredth of noise.
    Steps,
    /// N(0, 1), but the first value is 10⁶.
    OutlierFirst,
    /// N(0, 1), but the middle value is −10⁶.
    OutlierInTheMiddle,
    /// N(10⁶, 1).
    LargeMean,
    /// N(0, 10⁻³⁰): squares are near the smallest float32.
    Tiny,
}

impl Data {
    /// A tensor of it.
    pub fn tensor(self, shape: Shape, seed: u64) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(seed);
        let layout = Layout::of(shape);
        let count = layout.count();
        (0..shape.elements() as usize)
            .map(|i| {
                let feature = layout.feature(i);
                let place = i / (layout.inner * layout.features) * layout.inner + i % layout.inner;
                self.value(feature as f64, place, count, StandardNormal.sample(&mut rng)) as f32
            })
            .collect()
    }

    fn value(self, feature: f64, place: usize, count: usize, normal: f64) -> f64 {
        match self {
            Data::Normal => normal,
            Data::RampUp => place as f64 / count as f64 + feature,
            Data::RampDown => 5.0 - place as f64 / count as f64,
            Data::Sparse if place % 97 == 3 => normal * 10.0,
            Data::Sparse => 0.0,
            Data::Steps => (place * 8 / count) as f64 * 100.0 + normal * 0.01,
            Data::OutlierFirst if place == 0 => 1e6,
            Data::OutlierInTheMiddle if place == count / 2 => -1e6,
            Data::OutlierFirst | Data::OutlierInTheMiddle => normal,
            Data::LargeMean => 1e6 + normal,
            Data::Tiny => normal * 1e-15,
        }
    }
}
