//! Float32 arrays on the device: whole buffers, or parts of one.

use wgpu_batchnorm::wgpu::{self, util::DeviceExt as _};

/// What every buffer here may be used for: kernels read and write it, and it is copied for reading back.
const USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// `len` values in a buffer. Cloning it refers to the same memory.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub len: u32,
}

impl Tensor {
    /// Zeros, in a buffer padded to whole vectors of four (see [`Tensor::padded`]).
    pub fn zeros(device: &wgpu::Device, label: &str, len: u32) -> Self {
        let size = u64::from(len.max(1).next_multiple_of(4)) * 4;
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage: USAGE, mapped_at_creation: false };
        Self { buffer: device.create_buffer(&descriptor), offset: 0, len }
    }

    /// A buffer holding these 4-byte values.
    pub fn upload<T: bytemuck::NoUninit>(device: &wgpu::Device, label: &str, values: &[T]) -> Self {
        assert_eq!(size_of::<T>(), 4, "only 4-byte values are uploaded");
        let contents = bytemuck::cast_slice(values);
        let descriptor = wgpu::util::BufferInitDescriptor { label: Some(label), contents, usage: USAGE };
        Self { buffer: device.create_buffer_init(&descriptor), offset: 0, len: values.len() as u32 }
    }

    /// Overwrites the first values.
    pub fn write<T: bytemuck::NoUninit>(&self, queue: &wgpu::Queue, values: &[T]) {
        assert!(
            size_of_val(values) as u64 <= u64::from(self.len) * 4,
            "{} values for {}",
            values.len(),
            self.len
        );
        queue.write_buffer(&self.buffer, self.offset, bytemuck::cast_slice(values));
    }

    /// Exactly the values.
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        self.bytes(u64::from(self.len) * 4)
    }

    /// The values and the padding after them, for kernels that work on vectors of four.
    pub fn padded(&self) -> wgpu::BufferBinding<'_> {
        self.bytes(u64::from(self.len.next_multiple_of(4)) * 4)
    }

    fn bytes(&self, size: u64) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size: wgpu::BufferSize::new(size) }
    }
}

/// Lays tensors out one after another in a single buffer, each aligned as a binding must be.
pub struct Arena {
    alignment: u32,
    len: u32,
}

impl Arena {
    pub fn new(device: &wgpu::Device) -> Self {
        Self { alignment: device.limits().min_storage_buffer_offset_alignment / 4, len: 0 }
    }

    /// Reserves room for `len` values; returns the index of the first.
    pub fn reserve(&mut self, len: u32) -> u32 {
        let start = self.len;
        self.len = (start + len).next_multiple_of(self.alignment);
        start
    }

    /// Values reserved so far, gaps included.
    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Tensor {
    /// `len` values of this one from number `start` on.
    pub fn part(&self, start: u32, len: u32) -> Self {
        assert!(start + len <= self.len, "{len} values from {start} are outside of {}", self.len);
        Self { buffer: self.buffer.clone(), offset: self.offset + u64::from(start) * 4, len }
    }

    /// Copies all values to another tensor of the same length.
    pub fn copy_to(&self, encoder: &mut wgpu::CommandEncoder, to: &Self) {
        assert_eq!(self.len, to.len, "a copy has the same length");
        let size = u64::from(self.len) * 4;
        encoder.copy_buffer_to_buffer(&self.buffer, self.offset, &to.buffer, to.offset, size);
    }
}
