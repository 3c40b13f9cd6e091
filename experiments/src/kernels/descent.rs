//! Gradient descent, and measurements around it.

use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu::{self, BufferBinding};

use super::{BINS, Kernels, lines};

impl Kernels {
    /// parameters -= rate · gradients, `len` of them.
    pub fn sgd(
        &self,
        step: &wgpu::Buffer,
        len: u32,
        parameters: BufferBinding,
        gradients: BufferBinding,
    ) -> Dispatch {
        let bindings = vec![(0, step.as_entire_buffer_binding()), (1, parameters), (2, gradients)];
        self.dispatch(&self.sgd, bindings, lines(len))
    }

    /// result = origin - rate · direction, `len` values.
    pub fn move_along(
        &self,
        step: &wgpu::Buffer,
        len: u32,
        origin: BufferBinding,
        direction: BufferBinding,
        result: BufferBinding,
    ) -> Dispatch {
        let bindings = vec![(0, step.as_entire_buffer_binding()), (1, origin), (2, direction), (3, result)];
        self.dispatch(&self.move_along, bindings, lines(len))
    }

    /// Adds the squared distance of two tensors to `sums` at the step's slot.
    pub fn distance_squared(
        &self,
        step: &wgpu::Buffer,
        left: BufferBinding,
        right: BufferBinding,
        sums: BufferBinding,
    ) -> Dispatch {
        let bindings = vec![(0, step.as_entire_buffer_binding()), (4, left), (5, right), (6, sums)];
        self.dispatch(&self.distance_squared, bindings, [1, 1])
    }

    /// Counts the values of `x` in [`BINS`] equal intervals of −`reach` to `reach`; the outermost take what lies beyond.
    pub fn histogram(&self, reach: f32, x: BufferBinding, counts: BufferBinding) -> Dispatch {
        let scale = self.uniform(&[(BINS as f32 / (2.0 * reach)).to_bits()]);
        let bindings = vec![(0, scale.as_entire_buffer_binding()), (1, x), (2, counts)];
        self.dispatch(&self.histogram, bindings, [1, 1])
    }

    /// The sum of squares of `values`, as number `slot` of `sums`.
    pub fn squares(&self, slot: u32, values: BufferBinding, sums: BufferBinding) -> Dispatch {
        let slot = self.uniform(&[slot]);
        let bindings = vec![(0, slot.as_entire_buffer_binding()), (1, values), (2, sums)];
        self.dispatch(&self.squares, bindings, [1, 1])
    }
}
