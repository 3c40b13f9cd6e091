//! Random changes of activations.

use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu::{self, BufferBinding};

use super::{Kernels, lines};

impl Kernels {
    /// Noise on `rows` × `features` values, in place; `layer` makes every layer's different.
    pub fn noise(
        &self,
        step: &wgpu::Buffer,
        [rows, features]: [u32; 2],
        layer: u32,
        x: BufferBinding,
    ) -> Dispatch {
        self.noise_with(&self.noise[0], step, [rows, features], layer, x)
    }

    /// The gradient of [`Kernels::noise`], in place.
    pub fn noise_backward(
        &self,
        step: &wgpu::Buffer,
        [rows, features]: [u32; 2],
        layer: u32,
        gradient: BufferBinding,
    ) -> Dispatch {
        self.noise_with(&self.noise[1], step, [rows, features], layer, gradient)
    }

    fn noise_with(
        &self,
        pipeline: &wgpu::ComputePipeline,
        step: &wgpu::Buffer,
        [rows, features]: [u32; 2],
        layer: u32,
        values: BufferBinding,
    ) -> Dispatch {
        self.drawn(pipeline, step, [rows * features, features, layer, 0], vec![(2, values)])
    }

    /// Drops a share of `len` values, in 0..1: y from x. `layer` makes every layer's choice different.
    pub fn dropout(
        &self,
        step: &wgpu::Buffer,
        [len, layer]: [u32; 2],
        share: f32,
        x: BufferBinding,
        y: BufferBinding,
    ) -> Dispatch {
        self.drawn(&self.dropout[0], step, [len, layer, share.to_bits(), 0], vec![(2, y), (3, x)])
    }

    /// From the gradient of y that of x in its place.
    pub fn dropout_backward(
        &self,
        step: &wgpu::Buffer,
        [len, layer]: [u32; 2],
        share: f32,
        gradient: BufferBinding,
    ) -> Dispatch {
        self.drawn(&self.dropout[1], step, [len, layer, share.to_bits(), 0], vec![(2, gradient)])
    }

    /// A kernel that draws a number for each value. `uniform` begins with how many there are.
    fn drawn(
        &self,
        pipeline: &wgpu::ComputePipeline,
        step: &wgpu::Buffer,
        uniform: [u32; 4],
        tensors: Vec<(u32, BufferBinding)>,
    ) -> Dispatch {
        let buffer = self.uniform(&uniform);
        let uniforms = [(0, step.as_entire_buffer_binding()), (1, buffer.as_entire_buffer_binding())];
        self.dispatch(pipeline, uniforms.into_iter().chain(tensors).collect(), lines(uniform[0]))
    }
}
