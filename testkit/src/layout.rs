//! Where a feature's values lie in a tensor.

use wgpu_batchnorm::Shape;

/// Any shape, as kernels see it: outer × features × inner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    pub outer: usize,
    pub features: usize,
    pub inner: usize,
}

impl Layout {
    /// The layout of a shape, whose own is private: features are the last axis if it equals the shape made so.
    pub fn of(shape: Shape) -> Self {
        let positions = shape.positions() as usize;
        let last = Shape::channels_last(shape.batch(), &[shape.positions() as u32], shape.features());
        let (batch, features) = (shape.batch() as usize, shape.features() as usize);
        match shape == last {
            true => Self { outer: batch * positions, features, inner: 1 },
            false => Self { outer: batch, features, inner: positions },
        }
    }

    /// The feature of the value at flat index `i`.
    pub fn feature(&self, i: usize) -> usize {
        i / self.inner % self.features
    }

    /// Which of the batch's examples and positions the value at flat index `i` is at, all positions of an example in a
    /// row.
    pub fn position(&self, i: usize) -> usize {
        i / (self.inner * self.features) * self.inner + i % self.inner
    }

    /// Values per feature.
    pub fn count(&self) -> usize {
        self.outer * self.inner
    }
}

/// Σ of `term` over the values of each feature.
pub fn feature_sums(layout: Layout, len: usize, term: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; layout.features];
    for i in 0..len {
        sums[layout.feature(i)] += term(i);
    }
    sums
}

/// The feature that element `i` is of.
pub fn feature_of(shape: Shape, i: usize) -> usize {
    Layout::of(shape).feature(i)
}
