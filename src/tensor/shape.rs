//! The shape of a tensor, and the one view of it that kernels know: outer × features × inner.

use super::StorageType;

/// Where the features stand among a tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Layout {
    ChannelsFirst,
    ChannelsLast,
}

/// The shape of x, and so of y and of their gradients: batch N, features C and positions (the product of the spatial
/// axes), contiguous, row-major. Shapes whose values lie alike in memory are equal: (8, 3) and (2, 4, 3) with the features
/// last are both eight rows of three.
///
/// Nothing is checked here; [`BatchNorm`](crate::BatchNorm)'s `prepare_*` calls check the shape they get.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    batch: u32,
    features: u32,
    positions: u64,
    layout: Layout,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Eq for Shape {}

impl std::hash::Hash for Shape {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.view().hash(state);
    }
}

/// Why a shape is none that a layer can work on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The shape has other features than the layer.
    #[error("the layer has {required} features, the shape {given}: check which axis the features are on")]
    Features {
        /// The layer's.
        required: u32,
        /// The shape's.
        given: u32,
    },
    /// A spatial axis is empty. (An empty batch is allowed.)
    #[error("spatial axes must be at least 1 long, given {given}")]
    EmptyAxis {
        /// The shape.
        given: Shape,
    },
    /// Indices are 32 bits wide.
    #[error(
        "an example (a position, where features are last) may have at most {limit} elements, given {given} ({shape})"
    )]
    TooManyElements {
        /// The most elements.
        limit: u64,
        /// Elements of an example, or of a position where the features are the last axis: tensors are cut between these.
        /// `u64::MAX` where a product overflows even that.
        given: u64,
        /// The shape.
        shape: Shape,
    },
}

/// What a dispatch can take of a tensor: indices have 32 bits, and a plan's last split may reach past the end. It does by less than a
/// split, and by less than a turn of the workgroup per split: with up to 2¹⁰ invocations, by less than 2²².
pub(crate) const MAX_ELEMENTS: u64 = (1 << 32) - (1 << 24);

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
        self.bytes_of(StorageType::Float32)
    }

    /// Bytes of a tensor of this shape whose values are stored so, rounded up to a multiple of 4, as bindings are;
    /// saturates. Nothing is written to what is between the last value and that multiple.
    pub const fn bytes_of(&self, storage: StorageType) -> u64 {
        match self.elements().saturating_mul(storage.bytes()).checked_next_multiple_of(4) {
            Some(bytes) => bytes,
            None => u64::MAX,
        }
    }

    /// Outer × features × inner: all that kernels know of a shape.
    pub(crate) fn view(&self) -> (u64, u32, u64) {
        (self.outer(), self.features, self.inner())
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

    /// Values in a row of the view: one of each feature and inner position; saturates.
    pub(crate) fn row(&self) -> u64 {
        self.inner().saturating_mul(self.features.into())
    }

    /// Rows of the view in an example.
    pub(crate) fn example_rows(&self) -> u64 {
        match self.layout {
            Layout::ChannelsFirst => 1,
            Layout::ChannelsLast => self.positions,
        }
    }

    /// The same with so many rows of the view, of which there must be fewer than 2³².
    pub(crate) fn with_rows(&self, rows: u64) -> Self {
        if rows == self.outer() {
            return *self;
        }
        let positions = self.inner();
        Self { batch: rows as u32, positions, ..*self }
    }

    pub(crate) fn validate(&self, features: u32) -> Result<(), ShapeError> {
        if self.features != features {
            return Err(ShapeError::Features { required: features, given: self.features });
        }
        if self.positions == 0 {
            return Err(ShapeError::EmptyAxis { given: *self });
        }
        let given = if self.bytes() == u64::MAX { u64::MAX } else { self.row() };
        if given > MAX_ELEMENTS {
            return Err(ShapeError::TooManyElements { limit: MAX_ELEMENTS, given, shape: *self });
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
    fn shapes_that_lie_alike_are_equal() {
        assert_eq!(Shape::rows(8, 3), Shape::channels_last(2, &[4], 3));
        assert_eq!(Shape::rows(8, 3), Shape::channels_first(8, 3, &[1, 1]));
        assert_ne!(Shape::channels_first(2, 3, &[4]), Shape::channels_last(2, &[4], 3));
    }

    #[test]
    fn bindings_are_multiples_of_4_bytes() {
        let odd = Shape::rows(3, 5);
        let bytes = StorageType::ALL.map(|storage| odd.bytes_of(storage));
        assert_eq!((odd.bytes(), bytes), (60, [60, 32, 32]));
        let huge = Shape::channels_first(u32::MAX, u32::MAX, &[u32::MAX, u32::MAX]);
        assert_eq!(huge.bytes_of(StorageType::Float16), u64::MAX);
    }

    #[test]
    fn the_largest_tensor() {
        let largest = Shape::channels_first(3, 1, &[MAX_ELEMENTS as u32]);
        assert_eq!(largest.validate(1), Ok(()));
        let larger = Shape::channels_first(3, 1, &[MAX_ELEMENTS as u32 + 1]);
        let error =
            ShapeError::TooManyElements { limit: MAX_ELEMENTS, given: MAX_ELEMENTS + 1, shape: larger };
        assert_eq!(larger.validate(1), Err(error));
        // Of channels last, every position can be cut off.
        assert_eq!(Shape::channels_last(1 << 20, &[1 << 20], 8).validate(8), Ok(()));
    }

    #[test]
    fn overflowing_products_are_an_error() {
        let huge = Shape::channels_first(u32::MAX, u32::MAX, &[u32::MAX, u32::MAX, u32::MAX]);
        assert_eq!(
            huge.validate(u32::MAX),
            Err(ShapeError::TooManyElements { limit: MAX_ELEMENTS, given: u64::MAX, shape: huge })
        );
    }
}
