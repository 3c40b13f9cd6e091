//! Buffers as bindings, and the bytes in them.

use wgpu_batchnorm::wgpu;

/// All of a buffer.
pub fn whole(buffer: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
    buffer.as_entire_buffer_binding()
}

/// So many bytes of a buffer; 0 is all that follow.
pub fn part(buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BufferBinding<'_> {
    wgpu::BufferBinding { buffer, offset, size: wgpu::BufferSize::new(size) }
}

/// The values bound, after all work submitted so far. Waits for the device, and panics where it is lost.
pub fn download<T: bytemuck::Pod>(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    source: wgpu::BufferBinding<'_>,
) -> Vec<T> {
    let wgpu::BufferBinding { buffer, offset, size } = source;
    let size = size.map_or(buffer.size() - offset, wgpu::BufferSize::get);
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("download"),
        size,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
    queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("a new staging buffer can be mapped"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("waiting without a time limit");
    let view = staging.get_mapped_range(..).expect("the buffer was just mapped");
    bytemuck::pod_collect_to_vec(&view[..])
}
