use super::FoldError;

/// How the weight of a linear or convolutional layer lies in memory.
///
/// By default as in PyTorch and ONNX: `[outputs, inputs / groups, kernel…]`, and `[inputs, outputs / groups, kernel…]` for
/// a transposed convolution. Kernels may have any number of axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightShape {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// Places of the kernel.
    pub(super) taps: usize,
    pub(super) groups: usize,
    pub(super) transposed: bool,
    pub(super) outputs_last: bool,
}

impl WeightShape {
    /// A linear layer (`torch.nn.Linear`): `[outputs, inputs]`.
    pub fn linear(outputs: usize, inputs: usize) -> Self {
        Self::convolution(outputs, inputs, &[])
    }

    /// A convolution (`torch.nn.Conv1d/2d/3d`): `[outputs, inputs, kernel…]`.
    pub fn convolution(outputs: usize, inputs: usize, kernel: &[usize]) -> Self {
        let taps = kernel.iter().fold(1usize, |taps, size| taps.saturating_mul(*size));
        Self { outputs, inputs, taps, groups: 1, transposed: false, outputs_last: false }
    }

    /// A transposed convolution (`torch.nn.ConvTranspose1d/2d/3d`): `[inputs, outputs, kernel…]`.
    pub fn transposed_convolution(inputs: usize, outputs: usize, kernel: &[usize]) -> Self {
        Self { transposed: true, ..Self::convolution(outputs, inputs, kernel) }
    }

    /// Each group of outputs sees its group of inputs alone; as many groups as inputs are a depthwise convolution.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The axes in the other order, as in Keras, flax and TensorFlow: `[kernel…, inputs / groups, outputs]`, and
    /// `[kernel…, outputs / groups, inputs]` for a transposed convolution. A depthwise kernel `[kernel…, inputs, multiplier]`
    /// has inputs · multiplier outputs and as many groups as inputs.
    pub fn outputs_last(self) -> Self {
        Self { outputs_last: true, ..self }
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values of the weight.
    pub fn elements(&self) -> usize {
        let inputs = self.inputs / self.groups.max(1);
        self.outputs.saturating_mul(inputs).saturating_mul(self.taps)
    }

    pub(super) fn check(&self) -> Result<(), FoldError> {
        let Self { outputs, inputs, groups, .. } = *self;
        let divide = groups > 0 && outputs % groups == 0 && inputs % groups == 0;
        if divide { Ok(()) } else { Err(FoldError::Groups { groups, outputs, inputs }) }
    }

    /// Calls `visit` with the index of each weight, the output that it adds to and the input that it multiplies.
    pub(super) fn each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let Self { outputs, inputs, taps, groups, .. } = *self;
        let (outs, ins) = (outputs / groups, inputs / groups);
        for output in 0..outputs {
            let group = output / outs;
            for i in 0..ins {
                let (o, input) = (output % outs, group * ins + i);
                for tap in 0..taps {
                    let index = match (self.transposed, self.outputs_last) {
                        (false, false) => (output * ins + i) * taps + tap,
                        (false, true) => (tap * ins + i) * outputs + output,
                        (true, false) => (input * outs + o) * taps + tap,
                        (true, true) => (tap * outs + o) * inputs + input,
                    };
                    visit(index, output, input);
                }
            }
        }
    }
}
