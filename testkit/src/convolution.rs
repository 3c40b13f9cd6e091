//! Convolutions in float64 as their definition has them: to fold batch norms into, and to compare the results.

/// A linear layer (kernel 1, size 1), a convolution or a transposed one, of up to three spatial axes; axes that it does not
/// have are of size 1 with kernel 1. The weight is in PyTorch's layout.
#[derive(Debug, Clone, Copy)]
pub struct Convolution {
    pub outputs: usize,
    pub inputs: usize,
    pub groups: usize,
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub transposed: bool,
}

impl Convolution {
    /// Values of the weight.
    pub fn weights(&self) -> usize {
        self.outputs * (self.inputs / self.groups) * self.kernel.iter().product::<usize>()
    }

    /// The output's size for an input of this size.
    pub fn size(&self, input: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|a| {
            let (kernel, stride, padding) = (self.kernel[a], self.stride[a], self.padding[a]);
            match self.transposed {
                false => (input[a] + 2 * padding - kernel) / stride + 1,
                true => (input[a] - 1) * stride + kernel - 2 * padding,
            }
        })
    }

    /// The output for an input of `batch` × inputs × size values.
    pub fn run(&self, x: &[f64], batch: usize, size: [usize; 3], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let (from, to) = (size, self.size(size));
        // Place `small` of the smaller side meets place small · stride + tap − padding of the other.
        let (small, large) = if self.transposed { (from, to) } else { (to, from) };
        let [from_len, to_len] = [from, to].map(|size| size.iter().product::<usize>());
        let (outs, ins) = (self.outputs / self.groups, self.inputs / self.groups);
        let taps: usize = self.kernel.iter().product();
        let mut y = vec![0.0; batch * self.outputs * to_len];
        for n in 0..batch {
            for (output, bias) in bias.iter().enumerate() {
                let to_start = (n * self.outputs + output) * to_len;
                y[to_start..][..to_len].fill(*bias);
                for i in 0..ins {
                    let input = output / outs * ins + i;
                    let from_start = (n * self.inputs + input) * from_len;
                    let at = match self.transposed {
                        false => output * ins + i,
                        true => input * outs + output % outs,
                    };
                    for (tap, t) in places(self.kernel) {
                        let w = weight[at * taps + tap];
                        for (place, p) in places(small) {
                            if let Some(other) = self.meets(p, t, large) {
                                let (from, to) =
                                    if self.transposed { (place, other) } else { (other, place) };
                                y[to_start + to] += w * x[from_start + from];
                            }
                        }
                    }
                }
            }
        }
        y
    }

    fn meets(&self, place: [usize; 3], tap: [usize; 3], large: [usize; 3]) -> Option<usize> {
        let mut index = 0;
        for a in 0..3 {
            let at = (place[a] * self.stride[a] + tap[a]).checked_sub(self.padding[a])?;
            if at >= large[a] {
                return None;
            }
            index = index * large[a] + at;
        }
        Some(index)
    }
}

/// All places of a size, with their indices.
fn places(size: [usize; 3]) -> impl Iterator<Item = (usize, [usize; 3])> {
    let [_, h, w] = size;
    (0..size.iter().product()).map(move |i| (i, [i / (h * w), i / w % h, i % w]))
}
