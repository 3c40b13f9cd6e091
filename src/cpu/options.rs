use std::ops::Range;

use super::Function;
use crate::layer::Statistics;
use crate::tensor::Shape;

/// What a step is asked for, forward and backward. The default is PyTorch's `train()`: batch statistics normalize, and
/// the running ones move.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub(super) statistics: Statistics,
    pub(super) update_running: bool,
    pub(super) commit: bool,
    pub(super) skip_non_finite: bool,
    pub(super) activation: Function,
    pub(super) residual: Option<&'a [f32]>,
    pub(super) valid: Option<&'a [bool]>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            statistics: Statistics::Batch,
            update_running: true,
            commit: true,
            skip_non_finite: false,
            activation: Function::default(),
            residual: None,
            valid: None,
        }
    }
}

impl<'a> Options<'a> {
    /// Which statistics normalize. [`Statistics::Running`] makes the layer frozen in a network that trains.
    pub fn statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }

    /// Whether the running statistics move and the batch is counted. Without effect where the layer does not track.
    pub fn update_running(self, update_running: bool) -> Self {
        Self { update_running, ..self }
    }

    /// The caller's flag. Without it no running statistic moves, no batch is counted, and no feature counts as skipped.
    pub fn commit(self, commit: bool) -> Self {
        Self { commit, ..self }
    }

    /// Whether a feature whose batch statistics are not finite in float32 leaves its running statistics untouched and
    /// counts as skipped. The batch is counted all the same.
    pub fn skip_non_finite(self, skip_non_finite: bool) -> Self {
        Self { skip_non_finite, ..self }
    }

    /// y = activation(bn(x)): one of the library's [`Activation`](crate::Activation)s, or two functions of the caller's.
    pub fn activation(self, activation: impl Into<Function>) -> Self {
        Self { activation: activation.into(), ..self }
    }

    /// z, of x' shape: y = activation(bn(x) + z).
    pub fn residual(self, z: &'a [f32]) -> Self {
        Self { residual: Some(z), ..self }
    }

    /// Which values take part: one flag for each example and position, all positions of an example in a row. Where it is
    /// false, x, z and dy are not read, and y, dx and dz are 0.
    pub fn valid(self, valid: &'a [bool]) -> Self {
        Self { valid: Some(valid), ..self }
    }

    /// The options of a part of the batch, with the residual and the mask of these examples. `shape` is the batch's.
    pub fn of_examples(self, examples: Range<usize>, shape: Shape) -> Self {
        let positions = shape.positions() as usize;
        let values = positions * shape.features() as usize;
        Self {
            residual: self.residual.map(|z| &z[examples.start * values..examples.end * values]),
            valid: self.valid.map(|valid| &valid[examples.start * positions..examples.end * positions]),
            ..self
        }
    }

    /// z at an index of the tensor.
    pub(super) fn residual_at(&self, i: usize) -> f64 {
        self.residual.map_or(0.0, |z| z[i].into())
    }
}
