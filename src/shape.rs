//! The shape of a tensor, and the one view of it that kernels know: outer × features × inner.

use crate::error::PrepareError;

/// Where the features stand among a tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Layout {
    ChannelsFirst,
    ChannelsLast,
}

/// The shape of x, and so of y and of their gradients: batch N, features C and positions (the product of the spatial
/// axes), float32, contiguous, row-major.
///
/// Nothing is checked here; [`BatchNorm`](crate::BatchNorm)'s `prepare_*` calls check the shape they get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    batch: u32,
    features: u32,
    positions: u64,
    layout: Layout,
}

/// The largest tensor: indices have 32 bits, and a plan's last chunk may reach past the end. It does by less than a
/// chunk, and by less than a turn of the workgroup per chunk: with up to 2¹⁰ invocations, by less than 2²².
const MAX_ELEMENTS: u64 = (1 << 32) - (1 << 24);

const fn product(axes: &[u32]) -> u64 {
    let (mut product, mut i) = (1u64, 0);
    while i < axes.len() {
        product = product.saturating_mul(axes[i] as u64);
        i += 1;
    }
    product
}

impl Shape {
    /// (N, C): one value of each feature per example, as `BatchNorm1d` takes.
    pub const fn rows(batch: u32, features: u32) -> Self {
        Self::channels_first(batch, features, &[])
    }

    /// (N, C, L), (N, C, H, W), (N, C, D, H, W): PyTorch's and ONNX' layout.
    pub const fn channels_first(batch: u32, features: u32, spatial: &[u32]) -> Self {
        Self { batch, features, positions: product(spatial), layout: Layout::ChannelsFirst }
    }

    /// (N, L, C), (N, H, W, C), (N, D, H, W, C): Keras' layout, and PyTorch's `channels_last` memory format.
    pub const fn channels_last(batch: u32, spatial: &[u32], features: u32) -> Self {
        Self { batch, features, positions: product(spatial), layout: Layout::ChannelsLast }
    }

    /// N.
    pub const fn batch(&self) -> u32 {
        self.batch
    }

    /// C.
    pub const fn features(&self) -> u32 {
        self.features
    }

    /// The product of the spatial axes; saturates.
    pub const fn positions(&self) -> u64 {
        self.positions
    }

    /// Values per feature, N · positions; saturates.
    pub const fn count(&self) -> u64 {
        self.positions.saturating_mul(self.batch as u64)
    }

    /// Values in all; saturates.
    pub const fn elements(&self) -> u64 {
        self.count().saturating_mul(self.features as u64)
    }

    /// Bytes of a float32 tensor of this shape; saturates.
    pub const fn bytes(&self) -> u64 {
        self.elements().saturating_mul(4)
    }

    /// The outer of outer × features × inner.
    pub(crate) fn outer(&self) -> u64 {
        match self.layout {
            Layout::ChannelsFirst if self.positions != 1 => self.batch.into(),
            _ => self.count(),
        }
    }

    /// The inner of outer × features × inner.
    pub(crate) fn inner(&self) -> u64 {
        match self.layout {
            Layout::ChannelsFirst => self.positions,
            Layout::ChannelsLast => 1,
        }
    }

    pub(crate) fn validate(&self, features: u32) -> Result<(), PrepareError> {
        if self.features != features {
            return Err(PrepareError::Features { required: features, given: self.features });
        }
        if self.positions == 0 {
            return Err(PrepareError::EmptyAxis { given: *self });
        }
        if self.elements() > MAX_ELEMENTS {
            let given = self.elements();
            return Err(PrepareError::TooManyElements { limit: MAX_ELEMENTS, given, shape: *self });
        }
        Ok(())
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape { batch, features, positions, layout } = self;
        match layout {
            Layout::ChannelsFirst if *positions == 1 => write!(f, "{batch} × {features}"),
            Layout::ChannelsFirst => write!(f, "{batch} × {features} × {positions} positions"),
            Layout::ChannelsLast => write!(f, "{batch} × {positions} positions × {features}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views() {
        let first = Shape::channels_first(2, 3, &[5, 7]);
        assert_eq!((first.outer(), first.inner(), first.count(), first.elements()), (2, 35, 70, 210));
        let last = Shape::channels_last(2, &[5, 7], 3);
        assert_eq!((last.outer(), last.inner(), last.count(), last.elements()), (70, 1, 70, 210));
        let rows = Shape::rows(8, 3);
        assert_eq!((rows.outer(), rows.inner(), rows.count()), (8, 1, 8));
    }

    #[test]
    fn the_largest_tensor() {
        let largest = Shape::rows(MAX_ELEMENTS as u32, 1);
        assert_eq!(largest.validate(1), Ok(()));
        let larger = Shape::rows(MAX_ELEMENTS as u32 + 1, 1);
        let error =
            PrepareError::TooManyElements { limit: MAX_ELEMENTS, given: MAX_ELEMENTS + 1, shape: larger };
        assert_eq!(larger.validate(1), Err(error));
    }

    #[test]
    fn overflowing_products_are_an_error() {
        let huge = Shape::channels_first(u32::MAX, u32::MAX, &[u32::MAX, u32::MAX, u32::MAX]);
        assert_eq!(
            huge.validate(u32::MAX),
            Err(PrepareError::TooManyElements { limit: MAX_ELEMENTS, given: u64::MAX, shape: huge })
        );
    }
}
