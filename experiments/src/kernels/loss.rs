//! The ends of a network: the images that go in, and the loss of what comes out.

use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu::{self, BufferBinding};

use super::Kernels;

impl Kernels {
    /// `rows` examples of `width` byte-sized pixels, times `scale`, with their labels.
    #[allow(clippy::too_many_arguments)]
    pub fn gather(
        &self,
        step: &wgpu::Buffer,
        [rows, width]: [u32; 2],
        scale: f32,
        pixels: BufferBinding,
        labels: BufferBinding,
        examples: BufferBinding,
        inputs: BufferBinding,
        picked: BufferBinding,
    ) -> Dispatch {
        let batch = self.uniform(&[width, scale.to_bits()]);
        let bindings = vec![
            (0, step.as_entire_buffer_binding()),
            (1, batch.as_entire_buffer_binding()),
            (2, pixels),
            (3, labels),
            (4, examples),
            (5, inputs),
            (6, picked),
        ];
        self.dispatch(&self.gather, bindings, [rows, 1])
    }

    /// Mean-squared error over all values of `target`, and its gradient.
    pub fn mse(
        &self,
        step: &wgpu::Buffer,
        prediction: BufferBinding,
        target: BufferBinding,
        gradient: BufferBinding,
        losses: BufferBinding,
    ) -> Dispatch {
        let step = step.as_entire_buffer_binding();
        let bindings = vec![(0, step), (1, prediction), (2, target), (3, gradient), (4, losses)];
        self.dispatch(&self.mse, bindings, [1, 1])
    }

    /// Mean cross-entropy of softmax(logits), its gradient, and the count of right answers.
    #[allow(clippy::too_many_arguments)]
    pub fn cross_entropy(
        &self,
        step: &wgpu::Buffer,
        [rows, classes]: [u32; 2],
        logits: BufferBinding,
        labels: BufferBinding,
        gradient: BufferBinding,
        losses: BufferBinding,
        correct: BufferBinding,
    ) -> Dispatch {
        let size = self.uniform(&[rows, classes]);
        let bindings = vec![
            (0, step.as_entire_buffer_binding()),
            (1, size.as_entire_buffer_binding()),
            (2, logits),
            (3, labels),
            (4, gradient),
            (5, losses),
            (6, correct),
        ];
        self.dispatch(&self.cross_entropy, bindings, [1, 1])
    }
}
