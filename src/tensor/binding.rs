//! Checks of the caller's bindings, once, when work is prepared.

use std::ops::Range;

/// Which of the caller's tensors an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tensor {
    /// x.
    Input,
    /// y.
    Output,
    /// dy, the gradient of the loss with respect to y.
    OutputGradient,
    /// dx, the gradient of the loss with respect to x.
    InputGradient,
    /// The gradient of the loss with respect to the weight.
    WeightGradient,
    /// The gradient of the loss with respect to the bias.
    BiasGradient,
    /// z, the residual.
    Residual,
    /// dz, the gradient of the loss with respect to the residual.
    ResidualGradient,
    /// The weight γ.
    Weight,
    /// The bias β.
    Bias,
    /// The running mean.
    RunningMean,
    /// The running variance.
    RunningVar,
    /// num_batches_tracked.
    Batches,
    /// How many batches the guard skipped.
    Skipped,
    /// What a forward step saves for its backward.
    SavedStatistics,
    /// A bit for each example and position: whether it is valid.
    Mask,
    /// Valid positions of each example.
    Lengths,
    /// The caller's flag without which no running statistic moves.
    Commit,
    /// The weight of another layer with a batch norm folded into it.
    FoldedWeight,
    /// The bias of another layer with a batch norm folded into it.
    FoldedBias,
    /// Records of moments.
    Moments,
    /// Records of gradient sums.
    GradientSums,
}

impl std::fmt::Display for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Tensor::Input => "input",
            Tensor::Output => "output",
            Tensor::OutputGradient => "output_gradient",
            Tensor::InputGradient => "input_gradient",
            Tensor::WeightGradient => "weight_gradient",
            Tensor::BiasGradient => "bias_gradient",
            Tensor::Residual => "residual",
            Tensor::ResidualGradient => "residual_gradient",
            Tensor::Weight => "weight",
            Tensor::Bias => "bias",
            Tensor::RunningMean => "running_mean",
            Tensor::RunningVar => "running_var",
            Tensor::Batches => "num_batches_tracked",
            Tensor::Skipped => "skipped",
            Tensor::SavedStatistics => "saved statistics",
            Tensor::Mask => "mask",
            Tensor::Lengths => "lengths",
            Tensor::Commit => "commit",
            Tensor::FoldedWeight => "folded weight",
            Tensor::FoldedBias => "folded bias",
            Tensor::Moments => "moments",
            Tensor::GradientSums => "gradient sums",
        })
    }
}

/// Why a binding cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// The tensor does not fit its binding.
    #[error("{tensor}: the binding must hold {required} bytes, given {given}")]
    TooSmall {
        /// Whose binding.
        tensor: Tensor,
        /// Bytes the shape needs.
        required: u64,
        /// Bytes from the binding's offset to its end, or the buffer's.
        given: u64,
    },
    /// The binding's offset is not a multiple of the device's alignment.
    #[error("{tensor}: the offset must be a multiple of {required}, given {given}")]
    Misaligned {
        /// Whose binding.
        tensor: Tensor,
        /// The device's `min_storage_buffer_offset_alignment`.
        required: u32,
        /// The binding's offset.
        given: u64,
    },
    /// The buffer was not created for this use.
    #[error("{tensor}: the buffer must be created with {required:?}, given {given:?}")]
    Usage {
        /// Whose binding.
        tensor: Tensor,
        /// What is missing.
        required: wgpu::BufferUsages,
        /// What the buffer has.
        given: wgpu::BufferUsages,
    },
    /// What cannot be cut is larger than the device can bind.
    #[error(
        "{tensor}: takes {required} bytes in one binding, the device binds at most {limit}: request a higher \
         max_storage_buffer_binding_size"
    )]
    Limit {
        /// Whose binding.
        tensor: Tensor,
        /// Its bytes.
        required: u64,
        /// The device's `max_storage_buffer_binding_size`.
        limit: u64,
    },
    /// A range of a tensor in several does not end aligned.
    #[error(
        "{tensor}: range {range} holds {given} examples: each range but the last must hold a multiple of {required}"
    )]
    Range {
        /// Whose binding.
        tensor: Tensor,
        /// The range's place among those of the tensor.
        range: usize,
        /// Examples that end at a multiple of the device's `min_storage_buffer_offset_alignment`, and of 64 bytes.
        required: u64,
        /// Whole examples in the range.
        given: u64,
    },
    /// Two bindings overlap without being the same.
    #[error("{first} and {second} overlap: they must be disjoint{}", if *in_place { ", or the same range (in place)" } else { "" })]
    Overlap {
        /// The one.
        first: Tensor,
        /// The other.
        second: Tensor,
        /// Whether these two may be the same range.
        in_place: bool,
    },
}

/// What a device asks of a binding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BindingLimits {
    /// The largest binding, in bytes.
    pub bytes: u64,
    /// What offsets are a multiple of.
    pub alignment: u32,
}

impl BindingLimits {
    /// What the offset of a piece of a tensor is a multiple of: also of the largest packet.
    pub fn granule(&self) -> u64 {
        u64::from(self.alignment).max(64)
    }

    /// The fewest rows of so many bytes that are a multiple of the granule.
    pub fn aligned_rows(&self, row_bytes: u64) -> u64 {
        self.granule() >> row_bytes.trailing_zeros().min(self.granule().trailing_zeros())
    }
}

/// How what a kernel writes lies to what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Aliasing {
    /// In buffers of its own.
    Disjoint,
    /// In other ranges of a buffer that is read: WebGPU wants one access mode for the whole buffer.
    SameBuffer,
    /// In the place of the tensor that is read.
    InPlace,
    /// Where there is a residual: y in its place, or its gradient in the place of dy.
    ResidualInPlace,
}

/// A binding, checked, and cut to the bytes of its tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    pub tensor: Tensor,
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
    /// Bytes of its tensor before it, where the tensor is in several ranges.
    pub first: u64,
}

impl Bound {
    pub fn new(
        limits: &BindingLimits,
        tensor: Tensor,
        binding: &wgpu::BufferBinding<'_>,
        required: u64,
    ) -> Result<Self, BindingError> {
        let given = Self::begin(limits, tensor, binding)?;
        if given < required {
            return Err(BindingError::TooSmall { tensor, required, given });
        }
        if required > limits.bytes {
            return Err(BindingError::Limit { tensor, required, limit: limits.bytes });
        }
        let wgpu::BufferBinding { buffer, offset, .. } = *binding;
        Ok(Self { tensor, buffer: buffer.clone(), offset, bytes: required, first: 0 })
    }

    /// That a binding begins where it may, and the bytes that follow.
    pub(super) fn begin(
        limits: &BindingLimits,
        tensor: Tensor,
        binding: &wgpu::BufferBinding<'_>,
    ) -> Result<u64, BindingError> {
        let wgpu::BufferBinding { buffer, offset, size } = *binding;
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            let (required, given) = (wgpu::BufferUsages::STORAGE, buffer.usage());
            return Err(BindingError::Usage { tensor, required, given });
        }
        if offset % u64::from(limits.alignment) != 0 {
            return Err(BindingError::Misaligned { tensor, required: limits.alignment, given: offset });
        }
        let available = buffer.size().saturating_sub(offset);
        Ok(size.map_or(available, |size| size.get().min(available)))
    }

    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.offset,
            size: std::num::NonZeroU64::new(self.bytes),
        }
    }

    fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes
    }

    pub fn same_range(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.range() == other.range() && self.first == other.first
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.range(), other.range());
        self.buffer == other.buffer && a.start < b.end && b.start < a.end
    }
}

/// Refuses ranges that overlap where something is written: what is written and anything else; and ranges that are only
/// read, where their buffer is also written to, since all of its bindings are writable then. `in_place` are those that may be
/// the same range, two by two.
pub(crate) fn check_overlaps(
    written: &[&Bound],
    read: &[&Bound],
    in_place: &[(Tensor, Tensor)],
) -> Result<(), BindingError> {
    let all: Vec<&Bound> = written.iter().chain(read).copied().collect();
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            if !a.overlaps(b) || written.iter().all(|out| out.buffer != a.buffer) {
                continue;
            }
            let pair = |&(x, y): &_| (a.tensor, b.tensor) == (x, y) || (b.tensor, a.tensor) == (x, y);
            let in_place = in_place.iter().any(pair);
            if !(in_place && a.same_range(b)) {
                let (first, second) = if read.contains(a) { (a, b) } else { (b, a) };
                return Err(BindingError::Overlap { first: first.tensor, second: second.tensor, in_place });
            }
        }
    }
    Ok(())
}
