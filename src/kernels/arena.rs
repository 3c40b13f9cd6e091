//! Small ranges of a few large buffers, for what steps keep per feature.

use std::sync::{Arc, Mutex, PoisonError};

use super::device::DeviceError;

/// The size of a buffer that ranges are cut from, unless one range needs more.
const BLOCK: u64 = 1 << 18;

/// A range of an arena's buffer. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Range {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
    blocks: Arc<Mutex<Vec<Block>>>,
}

#[derive(Debug)]
struct Block {
    buffer: wgpu::Buffer,
    /// Sorted, and never next to each other.
    free: Vec<std::ops::Range<u64>>,
}

#[derive(Debug, Default)]
pub(crate) struct Arena(Arc<Mutex<Vec<Block>>>);

impl Arena {
    /// A range of zeros, or of what an earlier owner left.
    pub fn allocate(&self, device: &wgpu::Device, alignment: u64, bytes: u64) -> Result<Range, DeviceError> {
        let bytes = bytes.next_multiple_of(alignment);
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = blocks.iter_mut().find_map(|block| Some((block.buffer.clone(), block.take(bytes)?)));
        let (buffer, offset) = match found {
            Some(found) => found,
            None => {
                let descriptor = wgpu::BufferDescriptor {
                    label: Some("batch norm: saved statistics"),
                    size: BLOCK.min(device.limits().max_buffer_size).max(bytes),
                    usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: false,
                };
                let buffer = super::device::buffer(device, &descriptor)?;
                let free = std::iter::once(bytes..descriptor.size).filter(|rest| !rest.is_empty()).collect();
                blocks.push(Block { buffer: buffer.clone(), free });
                (buffer, 0)
            }
        };
        Ok(Range { buffer, offset, bytes, blocks: self.0.clone() })
    }

    /// Destroys all buffers: steps that use them become invalid.
    pub fn destroy(&self) {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.drain(..).for_each(|block| block.buffer.destroy());
    }
}

impl Block {
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let i = self.free.iter().position(|range| range.end - range.start >= bytes)?;
        let offset = self.free[i].start;
        self.free[i].start += bytes;
        if self.free[i].is_empty() {
            self.free.remove(i);
        }
        Some(offset)
    }

    fn give_back(&mut self, range: std::ops::Range<u64>) {
        let i = self.free.partition_point(|free| free.start < range.start);
        self.free.insert(i, range);
        if i + 1 < self.free.len() && self.free[i].end == self.free[i + 1].start {
            self.free[i].end = self.free.remove(i + 1).end;
        }
        if i > 0 && self.free[i - 1].end == self.free[i].start {
            self.free[i - 1].end = self.free.remove(i).end;
        }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = blocks.iter_mut().find(|block| block.buffer == self.buffer) {
            block.give_back(self.offset..self.offset + self.bytes);
        }
    }
}

impl Range {
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: self.offset,
            size: std::num::NonZeroU64::new(self.bytes),
        }
    }
}
