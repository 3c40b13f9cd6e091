//! Tensors in one range of a buffer or in several.

use super::{BindingError, BindingLimits, Bound, Shape, StorageType, Tensor};

/// Where a tensor is: a range of a buffer, or several ranges that hold its examples one after the other, in any buffers.
///
/// A `wgpu::BufferBinding` becomes one, and so does a slice, an array or a `Vec` of them. A range holds as many whole
/// examples as fit into it; the last one may be larger than what is left. Every offset is a multiple of the device's
/// `min_storage_buffer_offset_alignment`. The bytes of each range but the last must be a multiple of that too (and of 64),
/// so that whatever is cut of several tensors begins alike in all of them.
///
/// A range may be larger than the device can bind: the plan cuts it.
#[derive(Debug, Clone)]
pub struct TensorBinding<'a> {
    ranges: Vec<wgpu::BufferBinding<'a>>,
}

impl<'a> TensorBinding<'a> {
    pub(crate) fn ranges(&self) -> &[wgpu::BufferBinding<'a>] {
        &self.ranges
    }
}

impl<'a> From<wgpu::BufferBinding<'a>> for TensorBinding<'a> {
    fn from(range: wgpu::BufferBinding<'a>) -> Self {
        Self { ranges: vec![range] }
    }
}

impl<'a> From<&[wgpu::BufferBinding<'a>]> for TensorBinding<'a> {
    fn from(ranges: &[wgpu::BufferBinding<'a>]) -> Self {
        Self { ranges: ranges.to_vec() }
    }
}

impl<'a> From<Vec<wgpu::BufferBinding<'a>>> for TensorBinding<'a> {
    fn from(ranges: Vec<wgpu::BufferBinding<'a>>) -> Self {
        Self { ranges }
    }
}

impl<'a, const N: usize> From<[wgpu::BufferBinding<'a>; N]> for TensorBinding<'a> {
    fn from(ranges: [wgpu::BufferBinding<'a>; N]) -> Self {
        Self { ranges: ranges.into() }
    }
}

/// A tensor's ranges, checked. Those that hold nothing of it are left out, but for the first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BoundTensor {
    ranges: Vec<Bound>,
    row_bytes: u64,
}

impl BoundTensor {
    pub fn new(
        limits: &BindingLimits,
        tensor: Tensor,
        binding: &TensorBinding<'_>,
        shape: Shape,
        storage: StorageType,
    ) -> Result<Self, BindingError> {
        let required = shape.bytes_of(storage);
        let row_bytes = shape.row().saturating_mul(storage.bytes());
        let example = row_bytes.saturating_mul(shape.example_rows()).max(1);
        let (mut ranges, mut first) = (Vec::new(), 0);
        for (i, range) in binding.ranges.iter().enumerate() {
            let given = Bound::begin(limits, tensor, range)?;
            let left = required - first;
            if given < left && i + 1 == binding.ranges.len() {
                return Err(BindingError::TooSmall { tensor, required, given: first + given });
            }
            let bytes = if given < left { given - given % example } else { left };
            if bytes < left && !bytes.is_multiple_of(limits.granule()) {
                let required = limits.aligned_rows(example);
                return Err(BindingError::Range { tensor, range: i, required, given: bytes / example });
            }
            if bytes > 0 || ranges.is_empty() {
                ranges.push(Bound {
                    tensor,
                    buffer: range.buffer.clone(),
                    offset: range.offset,
                    bytes,
                    first,
                });
            }
            first += bytes;
        }
        if ranges.is_empty() {
            return Err(BindingError::TooSmall { tensor, required, given: 0 });
        }
        Ok(Self { ranges, row_bytes })
    }

    pub fn tensor(&self) -> Tensor {
        self.ranges[0].tensor
    }

    /// The ranges, for checks; none of an empty tensor.
    pub fn bounds(&self) -> impl Iterator<Item = &Bound> {
        self.ranges.iter().filter(|range| range.bytes > 0)
    }

    /// The rows before which its ranges end, but for the last.
    pub fn ends(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().skip(1).map(|range| range.first / self.row_bytes)
    }

    /// Rows of the tensor, from an aligned offset on; `None` where they are in no single range.
    pub fn rows(
        &self,
        limits: &BindingLimits,
        first: u64,
        rows: u64,
    ) -> Option<(wgpu::BufferBinding<'_>, u64)> {
        let (begin, end) = (first * self.row_bytes, (first + rows) * self.row_bytes);
        let holds = |range: &&Bound| range.first <= begin && end <= range.first + range.bytes;
        let range = self.ranges.iter().find(holds)?;
        let before = (begin - range.first) % limits.granule();
        // Of 16-bit values, an odd number shares its last word with what follows, or with what `bytes_of` rounds up to.
        let size = (before + end - begin).next_multiple_of(4);
        let binding = wgpu::BufferBinding {
            buffer: &range.buffer,
            offset: range.offset + (begin - range.first) - before,
            size: std::num::NonZeroU64::new(size),
        };
        (size <= limits.bytes).then_some((binding, before))
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.bounds().any(|a| other.bounds().any(|b| a.overlaps(b)))
    }

    pub fn same_ranges(&self, other: &Self) -> bool {
        self.ranges.len() == other.ranges.len()
            && self.ranges.iter().zip(&other.ranges).all(|(a, b)| a.same_range(b))
    }
}
