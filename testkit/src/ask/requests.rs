//! What a layer is asked for.

use wgpu_batchnorm::{Backward, Evaluation, Guard, Statistics, TensorBinding, Training};

use super::tensors::{Tensors, Vector, Which};
use super::{Ask, Batch, Mode, Placement, Wanted};
use crate::plans::without_path;

impl Ask {
    pub(super) fn statistics(&self) -> Statistics {
        if self.mode == Mode::Training { Statistics::Batch } else { Statistics::Running }
    }

    pub(super) fn guard(&self) -> Guard {
        if self.guard { Guard::SkipNonFinite } else { Guard::None }
    }

    /// Whether an [`Evaluation`] can say all of it.
    pub(super) fn is_evaluation(&self) -> bool {
        let virtual_batches = matches!(self.batch, Batch::Virtual(_));
        self.mode == Mode::Evaluation && !self.guard && self.flag.is_none() && !virtual_batches
    }

    /// The forward step of the whole batch.
    pub(super) fn training<'a>(&self, tensors: &'a Tensors) -> Training<'a> {
        let mut training = Training::new(tensors.all(Which::X), tensors.all(Which::Y))
            .activation(self.activation)
            .statistics(self.statistics())
            .update_running(self.mode != Mode::Evaluation)
            .guard(self.guard())
            .storage(self.storage)
            .plan(self.plan);
        if self.residual {
            training = training.residual(tensors.all(Which::Z));
        }
        if let Batch::Virtual(examples) = self.batch {
            training = training.virtual_batch(examples);
        }
        if self.flag.is_some() {
            training = training.commit(tensors.vector(Vector::Flag));
        }
        match tensors.mask(0) {
            Some(mask) => training.mask(mask),
            None => training,
        }
    }

    /// An evaluation of the whole batch, or the application of statistics to a part: its number, and where tensors are.
    pub(super) fn evaluation<'a>(
        &self,
        tensors: &'a Tensors,
        k: usize,
        at: impl Fn(Which) -> TensorBinding<'a>,
    ) -> Evaluation<'a> {
        let evaluation = Evaluation::new(at(Which::X), at(Which::Y));
        let evaluation = evaluation.activation(self.activation).storage(self.storage);
        let evaluation = if self.residual { evaluation.residual(at(Which::Z)) } else { evaluation };
        match tensors.mask(k) {
            Some(mask) => evaluation.mask(mask),
            None => evaluation,
        }
    }

    /// What any backward reads: dy, and copies of what y has taken the place of.
    pub(super) fn reads<'a>(&self, at: &impl Fn(Which) -> TensorBinding<'a>) -> Backward<'a> {
        let backward = Backward::of(at(Which::Dy));
        let backward = match self.placement {
            Placement::InPlace => backward.input(at(Which::Copy)),
            Placement::ResidualInPlace => backward.residual(at(Which::Copy)),
            _ => backward,
        };
        match self.by {
            Some(by) => backward.pre_activation(by),
            None => backward,
        }
    }

    /// With the gradients of tensors that are wanted.
    pub(super) fn gradients<'a>(&self, at: &impl Fn(Which) -> TensorBinding<'a>) -> Backward<'a> {
        let Wanted { dx, dz, .. } = self.wanted;
        let mut backward = self.reads(at);
        if dx {
            backward = backward.input_gradient(at(Which::Dx));
        }
        if dz {
            backward = backward.residual_gradient(at(Which::Dz)).accumulate_residual(self.accumulate);
        }
        backward
    }

    /// The backward of the whole batch.
    pub(super) fn backward<'a>(&self, tensors: &'a Tensors) -> Backward<'a> {
        let mut backward = self.gradients(&|which| tensors.all(which)).accumulate(self.accumulate);
        if self.wanted.learns {
            let [weight, bias] = [Vector::DWeight, Vector::DBias].map(|v| tensors.vector(v));
            backward = backward.weight_gradient(weight).bias_gradient(bias);
        }
        backward.plan(if self.backward_has_path() { self.plan } else { without_path(self.plan) })
    }
}
