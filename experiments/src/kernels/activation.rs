//! Activations.

use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu::{self, BufferBinding};

use super::{Kernels, lines};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Relu,
    Sigmoid,
}

impl Kernels {
    /// y = f(x) of `len` values, both padded to a multiple of 4.
    pub fn activation(&self, f: Activation, len: u32, x: BufferBinding, y: BufferBinding) -> Dispatch {
        self.dispatch(&self.activations(f)[0], vec![(0, x), (1, y)], lines(len.div_ceil(4)))
    }

    /// From y = f(x) and the gradient of y, the gradient of x in its place.
    pub fn activation_backward(
        &self,
        f: Activation,
        len: u32,
        y: BufferBinding,
        gradient: BufferBinding,
    ) -> Dispatch {
        self.dispatch(&self.activations(f)[1], vec![(0, y), (1, gradient)], lines(len.div_ceil(4)))
    }

    fn activations(&self, f: Activation) -> &[wgpu::ComputePipeline; 2] {
        match f {
            Activation::Relu => &self.relu,
            Activation::Sigmoid => &self.sigmoid,
        }
    }
}
