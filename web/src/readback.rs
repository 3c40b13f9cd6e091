//! Bytes from the device to the page, by one buffer that is used again and again.

use std::cell::RefCell;

use anyhow::{Context as _, Result};
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::tensor::Tensor;
use wgpu_batchnorm::wgpu;

/// One reader for the life of its owner; it reads one thing at a time.
#[derive(Default)]
pub struct Readback(RefCell<Option<wgpu::Buffer>>);

impl Readback {
    /// The words of all these tensors, after what `before` records: one submission and one wait.
    pub async fn read(
        &self,
        gpu: &Gpu,
        sources: &[Tensor],
        before: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<Vec<Vec<u32>>> {
        let staging = self.staging(gpu, sources.iter().map(bytes).sum());
        gpu.submit(|encoder| {
            before(encoder);
            let mut end = 0;
            for source in sources {
                let size = bytes(source);
                encoder.copy_buffer_to_buffer(&source.buffer, source.offset, &staging, end, size);
                end += size;
            }
        });
        let (done, wait) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody waits any more where the page was left.
            let _ = done.send(result);
        });
        wait.await.context("the device is gone")?.context("the device gave no results")?;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?[..]);
        staging.unmap();
        let mut rest = &words[..];
        let part = |source: &Tensor| {
            let (part, others) = rest.split_at(source.len as usize);
            rest = others;
            part.to_vec()
        };
        Ok(sources.iter().map(part).collect())
    }

    fn staging(&self, gpu: &Gpu, size: u64) -> wgpu::Buffer {
        let mut staging = self.0.borrow_mut();
        match &*staging {
            Some(buffer) if buffer.size() >= size => buffer.clone(),
            _ => {
                let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("readback"),
                    size: size.max(4),
                    usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                if let Some(smaller) = staging.replace(buffer.clone()) {
                    smaller.destroy();
                }
                buffer
            }
        }
    }

    pub fn destroy(&self) {
        if let Some(staging) = self.0.borrow_mut().take() {
            staging.destroy();
        }
    }
}

fn bytes(tensor: &Tensor) -> u64 {
    u64::from(tensor.len) * 4
}
