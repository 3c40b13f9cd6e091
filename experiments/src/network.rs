//! A multilayer perceptron with or without batch normalization, its work prepared once and recorded every step.

use anyhow::{Context as _, Result, ensure};

use wgpu_batchnorm::BatchNorm;
use wgpu_batchnorm::wgpu::BufferBinding;

use crate::gpu::Gpu;
use crate::kernels::Activation;
use crate::pass::Pass;
use crate::tensor::{Arena, Tensor};

mod normalization;
mod normalize;
mod prepare;

pub use normalization::{Dropout, DropoutPlace, Normalization};

/// Initial weights, (outputs, inputs) row-major, and biases of a linear layer.
#[derive(Clone, Debug)]
pub struct Linear {
    pub inputs: u32,
    pub outputs: u32,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    MeanSquared,
    CrossEntropy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, which move the running ones; dropout; gradients; updates.
    Train,
    /// Like `Train`, but the running statistics stay.
    Probe,
    /// Running statistics; forward only.
    Evaluate,
    /// The batch's own statistics, and the running ones stay; forward only.
    EvaluateOnBatch,
}

impl Mode {
    fn trains(self) -> bool {
        matches!(self, Self::Train | Self::Probe)
    }
}

/// A linear layer's place among the parameters.
struct Slot {
    inputs: u32,
    outputs: u32,
    weight: u32,
    bias: Option<u32>,
}

impl Slot {
    /// This layer's weight and bias, or their gradients, among those of all layers.
    fn parts(&self, all: &Tensor) -> (Tensor, Option<Tensor>) {
        let weight = all.part(self.weight, self.inputs * self.outputs);
        (weight, self.bias.map(|bias| all.part(bias, self.outputs)))
    }
}

pub struct Network {
    gpu: Gpu,
    slots: Vec<Slot>,
    activation: Activation,
    normalization: Normalization,
    dropout: Option<Dropout>,
    loss: Loss,
    /// Weights and biases of the linear layers.
    linear: Tensor,
    /// One after every linear layer but the last, if there are any.
    norms: Vec<BatchNorm>,
}

impl Network {
    pub fn new(
        gpu: &Gpu,
        layers: &[Linear],
        activation: Activation,
        normalization: Normalization,
        loss: Loss,
    ) -> Result<Self> {
        let mut arena = Arena::new(&gpu.device);
        let (mut slots, mut norms, mut values) = (vec![], vec![], vec![]);
        for (i, layer) in layers.iter().enumerate() {
            let &Linear { inputs, outputs, .. } = layer;
            ensure!(
                layer.weight.len() as u32 == inputs * outputs && layer.bias.len() as u32 == outputs,
                "linear layer {i} needs {inputs} × {outputs} weights and {outputs} biases, not {} and {}",
                layer.weight.len(),
                layer.bias.len()
            );
            let descriptor = normalization.descriptor(outputs).filter(|_| i + 1 < layers.len());
            let weight = arena.reserve(inputs * outputs);
            let needless = descriptor.is_some() && normalization.subtracts_biases();
            let bias = (!needless).then(|| arena.reserve(outputs));
            values.resize(arena.len() as usize, 0.0);
            values[weight as usize..][..layer.weight.len()].copy_from_slice(&layer.weight);
            if let Some(bias) = bias {
                values[bias as usize..][..layer.bias.len()].copy_from_slice(&layer.bias);
            }
            slots.push(Slot { inputs, outputs, weight, bias });
            if let Some(descriptor) = descriptor {
                norms.push(BatchNorm::new(&gpu.context, &descriptor)?);
            }
        }
        let linear = Tensor::upload(&gpu.device, "parameters", &values);
        Ok(Self { gpu: gpu.clone(), slots, activation, normalization, dropout: None, loss, linear, norms })
    }

    /// The same with dropout in training.
    pub fn with_dropout(self, dropout: Option<Dropout>) -> Self {
        Self { dropout, ..self }
    }

    /// All parameters with their lengths, the linear layers' first and as one.
    pub fn parameters(&self) -> Vec<(BufferBinding<'_>, u32)> {
        let norms = self.norms.iter().flat_map(|norm| {
            [norm.weight(), norm.bias()].into_iter().flatten().map(|binding| (binding, norm.features()))
        });
        std::iter::once((self.linear.binding(), self.linear.len)).chain(norms).collect()
    }

    /// The normalizations, in layer order.
    pub fn norms(&self) -> &[BatchNorm] {
        &self.norms
    }

    /// The linear layers' weights and biases, in layer order.
    pub fn weights(&self) -> Vec<(Tensor, Option<Tensor>)> {
        self.linear_parts(&self.linear)
    }

    /// Places and sizes of the linear layers' weights and biases among the first of [`Network::parameters`].
    pub fn linear_parts(&self, all: &Tensor) -> Vec<(Tensor, Option<Tensor>)> {
        self.slots.iter().map(|slot| slot.parts(all)).collect()
    }

    /// Destroys the parameters, where dropping them would leave their memory to a garbage collector (in browsers).
    /// Passes of the network become invalid.
    pub fn destroy(self) {
        self.linear.buffer.destroy();
        self.norms.into_iter().for_each(BatchNorm::destroy);
    }

    /// Prepares work on `rows` examples, with room for the losses of `slots` steps.
    pub fn prepare(&self, rows: u32, mode: Mode, slots: u32) -> Result<Pass> {
        self.prepare_pass(rows, mode, slots).with_context(|| format!("preparing {mode:?} on {rows} examples"))
    }
}
