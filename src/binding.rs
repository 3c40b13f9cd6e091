//! Checks of the caller's bindings, once, when work is prepared.

use std::ops::Range;

use crate::error::{PrepareError, Tensor};
use crate::kernels::Tensors;
use crate::machine::Machine;

/// A caller's binding, checked, and cut to the bytes of its tensor.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub tensor: Tensor,
    buffer: wgpu::Buffer,
    offset: u64,
    bytes: u64,
}

impl Bound {
    pub fn new(
        machine: &Machine,
        tensor: Tensor,
        binding: &wgpu::BufferBinding<'_>,
        required: u64,
    ) -> Result<Self, PrepareError> {
        let wgpu::BufferBinding { buffer, offset, size } = *binding;
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            let (required, given) = (wgpu::BufferUsages::STORAGE, buffer.usage());
            return Err(PrepareError::Usage { tensor, required, given });
        }
        if offset % u64::from(machine.alignment) != 0 {
            return Err(PrepareError::Misaligned { tensor, required: machine.alignment, given: offset });
        }
        let available = buffer.size().saturating_sub(offset);
        let given = size.map_or(available, |size| size.get().min(available));
        if given < required {
            return Err(PrepareError::TooSmall { tensor, required, given });
        }
        if required > machine.max_binding {
            return Err(PrepareError::BindingLimit { tensor, required, limit: machine.max_binding });
        }
        Ok(Self { tensor, buffer: buffer.clone(), offset, bytes: required })
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

    pub fn same_buffer(&self, other: &Self) -> bool {
        self.buffer == other.buffer
    }

    pub fn same_range(&self, other: &Self) -> bool {
        self.same_buffer(other) && self.range() == other.range()
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.range(), other.range());
        self.same_buffer(other) && a.start < b.end && b.start < a.end
    }
}

/// How what is written lies to what is read, or which of them overlap. `in_place` is the one that `written[0]` may
/// replace.
pub(crate) fn arrangement(
    written: &[&Bound],
    read: &[&Bound],
    in_place: Option<&Bound>,
) -> Result<Tensors, PrepareError> {
    let mut arrangement = Tensors::Separate;
    for (i, &out) in written.iter().enumerate() {
        let may_replace = |other: &Bound| i == 0 && in_place.is_some_and(|p| p.tensor == other.tensor);
        for &other in read.iter().chain(&written[..i]) {
            if may_replace(other) && out.same_range(other) {
                arrangement = Tensors::InPlace;
            } else if out.overlaps(other) {
                let in_place = may_replace(other);
                return Err(PrepareError::Overlap { first: other.tensor, second: out.tensor, in_place });
            }
        }
    }
    let shared = written.iter().any(|out| read.iter().any(|other| out.same_buffer(other)));
    match arrangement {
        Tensors::InPlace => Ok(Tensors::InPlace),
        _ if shared => Ok(Tensors::Shared),
        _ => Ok(Tensors::Separate),
    }
}
