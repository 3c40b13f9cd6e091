//! Buffers that are filled on the device.

use crate::tensor::StorageType;

/// Bytes of a pattern that tensors are filled with.
const PATTERN: u64 = 1 << 20;

/// What is made, and whether the device had an error meanwhile. No scope of errors may stay open while others run.
pub(super) fn watched<T, F: FnOnce() -> T>(
    device: &wgpu::Device,
    make: F,
) -> (T, impl Future<Output = bool> + use<T, F>) {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = make();
    let (validation, memory) = (validation.pop(), memory.pop());
    (made, async { validation.await.or(memory.await).is_some() })
}

/// A buffer with a pattern again and again.
pub(super) fn filled(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    bytes: u64,
    pattern: &[u32],
) -> wgpu::Buffer {
    let buffer = |size, usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("batch norm: tuning"),
            size,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let words = pattern.iter().copied().cycle().take((PATTERN.min(bytes) / 4) as usize);
    let words: Vec<u32> = words.collect();
    let source = buffer(words.len() as u64 * 4, wgpu::BufferUsages::COPY_SRC);
    queue.write_buffer(&source, 0, bytemuck::cast_slice(&words));
    let filled = buffer(bytes, wgpu::BufferUsages::STORAGE);
    let mut encoder = device.create_command_encoder(&Default::default());
    for offset in (0..bytes).step_by(source.size() as usize) {
        encoder.copy_buffer_to_buffer(&source, 0, &filled, offset, source.size().min(bytes - offset));
    }
    queue.submit([encoder.finish()]);
    filled
}

/// A tensor of values in ±1..2: signs and mantissas are random.
pub(super) fn random(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    bytes: u64,
    storage: StorageType,
) -> wgpu::Buffer {
    let (mantissas, ones) = match storage {
        StorageType::Float32 => (0x807f_ffff, 0x3f80_0000),
        StorageType::Float16 => (0x83ff_83ff, 0x3c00_3c00),
        StorageType::BFloat16 => (0x807f_807f, 0x3f80_3f80),
    };
    let mut state = 1502u32;
    let pattern: Vec<u32> = (0..65_521)
        .map(|_| {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state & mantissas | ones
        })
        .collect();
    filled(device, queue, bytes, &pattern)
}
