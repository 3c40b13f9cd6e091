//! A multilayer perceptron with or without batch normalization, its work prepared once and recorded every step.

use anyhow::{Context as _, Result, ensure};
use std::cell::RefCell;

use wgpu_batchnorm::wgpu::{self, BufferBinding};
use wgpu_batchnorm::{Backward, BatchNorm, BatchNormDescriptor, Convention, Evaluation, Shape, Training};

use crate::gpu::Gpu;
use crate::kernels::{Activation, matrix, transpose};
use crate::pass::{Pass, Work};
use crate::tensor::{Arena, Tensor};

/// What stands between a linear layer and its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Nothing: the plain net.
    None,
    /// Batch normalization. The convention decides what becomes of the running variance.
    Batch(Convention),
    /// The same, but after the activation.
    AfterActivation(Convention),
    /// PyTorch's batch normalization and then, in training, the noise of shaders/noise.wgsl.
    Noisy,
}

impl Normalization {
    pub const BATCH: Self = Self::Batch(Convention::PyTorch);

    fn is_after_activation(self) -> bool {
        matches!(self, Self::AfterActivation(_))
    }

    fn convention(self) -> Option<Convention> {
        match self {
            Self::None => None,
            Self::Batch(convention) | Self::AfterActivation(convention) => Some(convention),
            Self::Noisy => Some(Convention::PyTorch),
        }
    }
}

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
    /// Batch statistics, which move the running ones; gradients; updates.
    Train,
    /// Like `Train`, but the running statistics stay.
    Probe,
    /// Running statistics; forward only.
    Evaluate,
    /// The batch's own statistics, and the running ones stay; forward only.
    EvaluateOnBatch,
}

/// A linear layer's place among the parameters.
struct Slot {
    inputs: u32,
    outputs: u32,
    weight: u32,
    bias: Option<u32>,
}

pub struct Network {
    gpu: Gpu,
    slots: Vec<Slot>,
    activation: Activation,
    normalization: Normalization,
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
            let convention = normalization.convention().filter(|_| i + 1 < layers.len());
            let weight = arena.reserve(inputs * outputs);
            // Batch normalization subtracts the mean, and with it any bias added right before it: such a bias would
            // change nothing and have a gradient of zero. β takes its place.
            let needless = convention.is_some() && !normalization.is_after_activation();
            let bias = (!needless).then(|| arena.reserve(outputs));
            values.resize(arena.len() as usize, 0.0);
            values[weight as usize..][..layer.weight.len()].copy_from_slice(&layer.weight);
            if let Some(bias) = bias {
                values[bias as usize..][..layer.bias.len()].copy_from_slice(&layer.bias);
            }
            slots.push(Slot { inputs, outputs, weight, bias });
            if let Some(convention) = convention {
                let descriptor = BatchNormDescriptor { features: outputs, convention, ..Default::default() };
                norms.push(BatchNorm::new(&gpu.context, &descriptor)?);
            }
        }
        let linear = Tensor::upload(&gpu.device, "parameters", &values);
        Ok(Self { gpu: gpu.clone(), slots, activation, normalization, loss, linear, norms })
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

    fn prepare_pass(&self, rows: u32, mode: Mode, slots: u32) -> Result<Pass> {
        let Gpu { device, kernels, .. } = &self.gpu;
        let buffers = RefCell::new(vec![]);
        let zeros = |label: &str, len: u32| {
            let tensor = Tensor::zeros(device, label, len);
            buffers.borrow_mut().push(tensor.buffer.clone());
            tensor
        };
        let train = matches!(mode, Mode::Train | Mode::Probe);
        let last = self.slots.len() - 1;
        let after = self.normalization.is_after_activation();

        let step = kernels.step_buffer();
        buffers.borrow_mut().push(step.clone());
        let inputs = zeros("inputs", rows * self.slots[0].inputs);
        let (losses, correct) = (zeros("losses", slots), zeros("correct", slots));

        let mut arena = Arena::new(device);
        let places: Vec<_> = self.parameters().iter().map(|&(_, len)| (arena.reserve(len), len)).collect();
        let gradients = zeros("gradients", arena.len());
        let gradients: Vec<_> = places.into_iter().map(|(at, len)| gradients.part(at, len)).collect();

        // The gradient of each layer's output. On the way back it becomes, in place, that of the activation's
        // input, of the normalization's input, which is the linear layer's output.
        let deltas: Vec<_> = self.slots.iter().map(|slot| zeros("delta", rows * slot.outputs)).collect();

        let (mut forward, mut backward, mut preactivations, mut normalized) =
            (vec![], vec![], vec![], vec![]);
        let mut a = inputs.clone();
        for (i, slot) in self.slots.iter().enumerate() {
            let &Slot { inputs, outputs, .. } = slot;
            let size = [rows, outputs];
            let (weight, bias) = slot.parts(&self.linear);
            let (weight_gradient, bias_gradient) = slot.parts(&gradients[0]);
            let delta = &deltas[i];
            let mut back = vec![];

            let mut x = zeros("linear", rows * outputs);
            forward.push(Work::Kernel(kernels.matmul(
                [rows, outputs, inputs],
                matrix(a.binding(), inputs),
                transpose(weight.binding(), inputs),
                bias.as_ref().map(Tensor::binding),
                x.binding(),
            )));
            let below = a.clone();
            if i < last {
                let y = zeros("activation", rows * outputs);
                let normalize = |x: &Tensor| {
                    let y = zeros("normalized", rows * outputs);
                    let gradients = [&gradients[1 + 2 * i], &gradients[2 + 2 * i]];
                    let (there, and_back) = self.normalize(i, rows, mode, &step, x, &y, delta, gradients)?;
                    anyhow::Ok((there, and_back, y))
                };
                let activate = |x: &Tensor| {
                    let (f, len) = (self.activation, rows * outputs);
                    let there = kernels.activation(f, len, x.padded(), y.padded());
                    let and_back = kernels.activation_backward(f, len, y.padded(), delta.padded());
                    (Work::Kernel(there), Work::Kernel(and_back))
                };
                if self.normalization != Normalization::None && !after {
                    let (there, and_back, y) = normalize(&x)?;
                    normalized.push(x);
                    forward.extend(there);
                    back.extend(and_back);
                    x = y;
                }
                preactivations.push(x.clone());
                let (there, and_back) = activate(&x);
                forward.push(there);
                back.insert(0, and_back);
                x = y.clone();
                if after {
                    let (there, and_back, y) = normalize(&x)?;
                    normalized.push(x);
                    forward.extend(there);
                    back.splice(0..0, and_back);
                    x = y;
                }
            }
            back.push(Work::Kernel(kernels.matmul(
                [outputs, inputs, rows],
                transpose(delta.binding(), outputs),
                matrix(below.binding(), inputs),
                None,
                weight_gradient.binding(),
            )));
            if let Some(gradient) = bias_gradient {
                back.push(Work::Kernel(kernels.column_sum(size, delta.binding(), gradient.binding())));
            }
            if i > 0 {
                back.push(Work::Kernel(kernels.matmul(
                    [rows, inputs, outputs],
                    matrix(delta.binding(), outputs),
                    matrix(weight.binding(), inputs),
                    None,
                    deltas[i - 1].binding(),
                )));
            }
            backward.push(back);
            a = x;
        }

        let (outputs, delta) = (a, &deltas[last]);
        let (prediction, gradient) = (outputs.binding(), delta.binding());
        let targets = match self.loss {
            Loss::MeanSquared => zeros("targets", outputs.len),
            Loss::CrossEntropy => zeros("labels", rows),
        };
        let (expected, size) = (targets.binding(), [rows, self.slots[last].outputs]);
        forward.push(Work::Kernel(match self.loss {
            Loss::MeanSquared => kernels.mse(&step, prediction, expected, gradient, losses.binding()),
            Loss::CrossEntropy => {
                let (losses, correct) = (losses.binding(), correct.binding());
                kernels.cross_entropy(&step, size, prediction, expected, gradient, losses, correct)
            }
        }));
        let mut backward: Vec<_> = backward.into_iter().rev().flatten().collect();
        let mut update: Vec<_> = self
            .parameters()
            .into_iter()
            .zip(&gradients)
            .map(|((parameter, len), gradient)| {
                Work::Kernel(kernels.sgd(&step, len, parameter, gradient.binding()))
            })
            .collect();
        if !train {
            backward.clear();
            update.clear();
        }
        Ok(Pass {
            step,
            rows,
            inputs,
            targets,
            preactivations,
            normalized,
            losses,
            correct,
            gradients,
            forward,
            backward,
            update,
            buffers: buffers.take(),
        })
    }

    /// Normalization number `i` of x, and the way back, which turns the gradient of y in `delta` into that of x.
    #[allow(clippy::too_many_arguments)]
    fn normalize(
        &self,
        i: usize,
        rows: u32,
        mode: Mode,
        step: &wgpu::Buffer,
        x: &Tensor,
        y: &Tensor,
        delta: &Tensor,
        [weight_gradient, bias_gradient]: [&Tensor; 2],
    ) -> Result<(Vec<Work>, Vec<Work>)> {
        let norm = &self.norms[i];
        let (features, layer) = (norm.features(), i as u32);
        let shape = Shape::rows(rows, features);
        if mode == Mode::Evaluate {
            let evaluation = norm.prepare_evaluation(shape, Evaluation::new(x.binding(), y.binding()))?;
            return Ok((vec![Work::Normalize(evaluation)], vec![]));
        }
        let update_running = mode == Mode::Train;
        let training = Training::new(x.binding(), y.binding()).update_running(update_running);
        let training = norm.prepare_training(shape, training)?;
        let backward = Backward::of(delta.binding())
            .input_gradient(delta.binding())
            .weight_gradient(weight_gradient.binding())
            .bias_gradient(bias_gradient.binding());
        let backward = norm.prepare_backward(&training, backward)?;
        let (mut forward, mut backward) = (vec![Work::Normalize(training)], vec![Work::Backward(backward)]);
        if self.normalization == Normalization::Noisy && mode != Mode::EvaluateOnBatch {
            let Gpu { kernels, .. } = &self.gpu;
            forward.push(Work::Kernel(kernels.noise(step, [rows, features], layer, y.binding())));
            let noise = kernels.noise_backward(step, [rows, features], layer, delta.binding());
            backward.insert(0, Work::Kernel(noise));
        }
        Ok((forward, backward))
    }
}

impl Slot {
    /// This layer's weight and bias, or their gradients, among those of all layers.
    fn parts(&self, all: &Tensor) -> (Tensor, Option<Tensor>) {
        let weight = all.part(self.weight, self.inputs * self.outputs);
        (weight, self.bias.map(|bias| all.part(bias, self.outputs)))
    }
}
