//! A pass in the making: one layer after the other, there and back.

use std::cell::RefCell;

use anyhow::Result;
use wgpu_batchnorm::wgpu;

use super::{Dropout, DropoutPlace, Loss, Mode, Network, Normalization};
use crate::kernels::{matrix, transpose};
use crate::pass::{Pass, Work};
use crate::tensor::{Arena, Tensor};

/// What a layer is made of, behind its products.
#[derive(Clone, Copy)]
enum Stage {
    Normalize,
    Activate,
    Drop(Dropout),
}

/// What follows on x, with the work on the way there and on the way back, which turns the gradient of y into that of x.
pub(super) struct Done {
    pub y: Tensor,
    pub forward: Vec<Work>,
    pub backward: Vec<Work>,
}

pub(super) struct Making<'a> {
    pub network: &'a Network,
    pub rows: u32,
    pub mode: Mode,
    pub step: wgpu::Buffer,
    pub gradients: Vec<Tensor>,
    /// The gradient of each layer's output. On the way back it becomes, in place, that of what the layer's stages were
    /// given, down to the linear layer's output.
    pub deltas: Vec<Tensor>,
    buffers: RefCell<Vec<wgpu::Buffer>>,
}

impl Network {
    pub(super) fn prepare_pass(&self, rows: u32, mode: Mode, slots: u32) -> Result<Pass> {
        let making = Making::new(self, rows, mode);
        let inputs = making.zeros("inputs", rows * self.slots[0].inputs);
        let (losses, correct) = (making.zeros("losses", slots), making.zeros("correct", slots));
        let (mut preactivations, mut normalized) = (vec![], vec![]);
        let (mut forward, mut backward) = (vec![], vec![]);
        let mut x = inputs.clone();
        for i in 0..self.slots.len() {
            let mut done = making.linear(i, &x);
            for stage in self.stages(i, mode) {
                match stage {
                    Stage::Normalize => normalized.push(done.y.clone()),
                    Stage::Activate => preactivations.push(done.y.clone()),
                    Stage::Drop(_) => {}
                }
                let Done { y, forward, mut backward } = making.stage(stage, i, &done.y)?;
                done.forward.extend(forward);
                backward.append(&mut done.backward);
                done = Done { y, forward: done.forward, backward };
            }
            forward.extend(done.forward);
            backward.push(done.backward);
            x = done.y;
        }
        let targets = match self.loss {
            Loss::MeanSquared => making.zeros("targets", x.len),
            Loss::CrossEntropy => making.zeros("labels", rows),
        };
        forward.push(making.loss(&x, &targets, &losses, &correct));
        let trains = mode.trains();
        Ok(Pass {
            rows,
            inputs,
            targets,
            outputs: x,
            preactivations,
            normalized,
            losses,
            correct,
            forward,
            backward: if trains { backward.into_iter().rev().flatten().collect() } else { vec![] },
            update: if trains { making.update() } else { vec![] },
            step: making.step,
            gradients: making.gradients,
            buffers: making.buffers.take(),
        })
    }

    fn stages(&self, i: usize, mode: Mode) -> Vec<Stage> {
        let last = self.slots.len() - 1;
        if i == last {
            return vec![];
        }
        let mut stages = vec![Stage::Activate];
        if self.normalization != Normalization::None {
            stages.insert(usize::from(self.normalization.is_after_activation()), Stage::Normalize);
        }
        if let Some(dropout) = self.dropout.filter(|_| mode.trains()) {
            match dropout.place {
                DropoutPlace::BeforeNormalization => stages.insert(0, Stage::Drop(dropout)),
                DropoutPlace::EachLayer => stages.push(Stage::Drop(dropout)),
                DropoutPlace::LastLayer if i + 1 == last => stages.push(Stage::Drop(dropout)),
                DropoutPlace::LastLayer => {}
            }
        }
        stages
    }
}

impl<'a> Making<'a> {
    fn new(network: &'a Network, rows: u32, mode: Mode) -> Self {
        let device = &network.gpu.device;
        let step = network.gpu.kernels.step_buffer();
        let buffers = RefCell::new(vec![step.clone()]);
        let (gradients, deltas) = (vec![], vec![]);
        let mut making = Self { network, rows, mode, step, gradients, deltas, buffers };
        let mut arena = Arena::new(device);
        let places: Vec<_> = network.parameters().iter().map(|&(_, len)| (arena.reserve(len), len)).collect();
        let gradients = making.zeros("gradients", arena.len());
        making.gradients = places.into_iter().map(|(at, len)| gradients.part(at, len)).collect();
        making.deltas = network.slots.iter().map(|slot| making.zeros("delta", rows * slot.outputs)).collect();
        making
    }

    pub fn zeros(&self, label: &str, len: u32) -> Tensor {
        let tensor = Tensor::zeros(&self.network.gpu.device, label, len);
        self.buffers.borrow_mut().push(tensor.buffer.clone());
        tensor
    }

    fn linear(&self, i: usize, x: &Tensor) -> Done {
        let kernels = &self.network.gpu.kernels;
        let slot = &self.network.slots[i];
        let (rows, inputs, outputs) = (self.rows, slot.inputs, slot.outputs);
        let (weight, bias) = slot.parts(&self.network.linear);
        let (weight_gradient, bias_gradient) = slot.parts(&self.gradients[0]);
        let delta = &self.deltas[i];

        let y = self.zeros("linear", rows * outputs);
        let there = kernels.matmul(
            [rows, outputs, inputs],
            matrix(x.binding(), inputs),
            transpose(weight.binding(), inputs),
            bias.as_ref().map(Tensor::binding),
            y.binding(),
        );
        let mut backward = vec![Work::Kernel(kernels.matmul(
            [outputs, inputs, rows],
            transpose(delta.binding(), outputs),
            matrix(x.binding(), inputs),
            None,
            weight_gradient.binding(),
        ))];
        if let Some(gradient) = bias_gradient {
            let sum = kernels.column_sum([rows, outputs], delta.binding(), gradient.binding());
            backward.push(Work::Kernel(sum));
        }
        if i > 0 {
            backward.push(Work::Kernel(kernels.matmul(
                [rows, inputs, outputs],
                matrix(delta.binding(), outputs),
                matrix(weight.binding(), inputs),
                None,
                self.deltas[i - 1].binding(),
            )));
        }
        Done { y, forward: vec![Work::Kernel(there)], backward }
    }

    fn stage(&self, stage: Stage, i: usize, x: &Tensor) -> Result<Done> {
        let kernels = &self.network.gpu.kernels;
        let delta = &self.deltas[i];
        let done = |y: Tensor, there, back| Done {
            y,
            forward: vec![Work::Kernel(there)],
            backward: vec![Work::Kernel(back)],
        };
        match stage {
            Stage::Normalize => self.normalize(i, x),
            Stage::Activate => {
                let (f, y) = (self.network.activation, self.zeros("activation", x.len));
                let there = kernels.activation(f, x.len, x.padded(), y.padded());
                let back = kernels.activation_backward(f, x.len, y.padded(), delta.padded());
                Ok(done(y, there, back))
            }
            Stage::Drop(Dropout { share, .. }) => {
                let (values, y) = ([x.len, i as u32], self.zeros("dropout", x.len));
                let there = kernels.dropout(&self.step, values, share, x.binding(), y.binding());
                let back = kernels.dropout_backward(&self.step, values, share, delta.binding());
                Ok(done(y, there, back))
            }
        }
    }

    fn loss(&self, outputs: &Tensor, targets: &Tensor, losses: &Tensor, correct: &Tensor) -> Work {
        let kernels = &self.network.gpu.kernels;
        let last = self.network.slots.len() - 1;
        let (prediction, gradient) = (outputs.binding(), self.deltas[last].binding());
        let (expected, losses) = (targets.binding(), losses.binding());
        let size = [self.rows, self.network.slots[last].outputs];
        Work::Kernel(match self.network.loss {
            Loss::MeanSquared => kernels.mse(&self.step, prediction, expected, gradient, losses),
            Loss::CrossEntropy => {
                let correct = correct.binding();
                kernels.cross_entropy(&self.step, size, prediction, expected, gradient, losses, correct)
            }
        })
    }

    fn update(&self) -> Vec<Work> {
        let kernels = &self.network.gpu.kernels;
        let descend = |((parameter, len), gradient): (_, &Tensor)| {
            Work::Kernel(kernels.sgd(&self.step, len, parameter, gradient.binding()))
        };
        self.network.parameters().into_iter().zip(&self.gradients).map(descend).collect()
    }
}
