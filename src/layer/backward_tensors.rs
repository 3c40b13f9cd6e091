//! The tensors of a backward step, and what they must be like.

use super::mask::BoundMask;
use super::prepared::{Bindings, bindings_of};
use super::saved::Forward;
use super::{PrepareError, Statistics};
use crate::kernels::Role;
use crate::plan::{Op, PreActivation, ResidualGradient, Work};
use crate::tensor::{BindingError, Bound, Tensor, check_overlaps};

/// The tensors of a backward step, checked, and what is to be done with them.
pub(super) struct Tensors {
    pub work: Work,
    pub output_gradient: Bound,
    pub input: Option<Bound>,
    pub output: Option<Bound>,
    pub residual: Option<Bound>,
    pub mask: Option<BoundMask>,
    pub input_gradient: Option<Bound>,
    pub residual_gradient: Option<Bound>,
    pub weight_gradient: Option<Bound>,
    pub bias_gradient: Option<Bound>,
}

impl Tensors {
    pub fn work_of(
        &self,
        forward: &Forward<'_>,
        pre_activation: Option<PreActivation>,
        accumulate: bool,
    ) -> Work {
        let learns = self.weight_gradient.is_some() || self.bias_gradient.is_some();
        let apply = self.input_gradient.is_some();
        let reduce = learns || (apply && forward.statistics == Statistics::Batch);
        let dz = if accumulate { ResidualGradient::Add } else { ResidualGradient::Write };
        let residual_gradient = self.residual_gradient.as_ref().map(|_| dz);
        let work = Work::from(Op::Backward { reduce, apply }).storage(forward.storage);
        let work = work.epilogue(forward.epilogue).mask(self.mask.as_ref().map(|mask| mask.kind));
        Work { pre_activation, residual_gradient, ..work }
    }

    pub fn kept_mut(&mut self, tensor: Tensor) -> &mut Option<Bound> {
        match tensor {
            Tensor::Residual => &mut self.residual,
            Tensor::Output => &mut self.output,
            _ => &mut self.input,
        }
    }

    pub fn bindings<'a>(&'a self, saved: &wgpu::BufferBinding<'a>) -> Bindings<'a> {
        let tensors = [
            (Role::OutputGradient, Some(&self.output_gradient)),
            (Role::Input, self.input.as_ref()),
            (Role::Output, self.output.as_ref()),
            (Role::Residual, self.residual.as_ref()),
            (Role::InputGradient, self.input_gradient.as_ref()),
            (Role::ResidualGradient, self.residual_gradient.as_ref()),
            (Role::WeightGradient, self.weight_gradient.as_ref()),
            (Role::BiasGradient, self.bias_gradient.as_ref()),
        ];
        let mut bindings = bindings_of(tensors.into_iter().filter_map(|(role, bound)| Some((role, bound?))));
        bindings.extend(bindings_of(self.mask.iter().map(|mask| (mask.role(), &mask.bound))));
        bindings.push((Role::Saved, saved.clone()));
        bindings
    }

    /// That gradients overlap nothing else: none of the layer's vectors either, nor what the forward step saved. dx or dz
    /// may take the place of dy; but not a dz that is added to.
    pub fn check_gradients(&self, forward: &Forward<'_>, accumulate: bool) -> Result<(), BindingError> {
        let written =
            [&self.input_gradient, &self.residual_gradient, &self.weight_gradient, &self.bias_gradient];
        let written = written.into_iter().flatten().filter(|bound| bound.bytes > 0);
        let kept = [&self.input, &self.output, &self.residual].into_iter().flatten();
        let mask = self.mask.iter().map(|mask| &mask.bound);
        let tensors = kept.chain([&self.output_gradient]).chain(mask).filter(|bound| bound.bytes > 0);
        let read = tensors.chain(forward.vectors.iter().map(|(_, bound)| bound));
        let in_place = [
            (Tensor::OutputGradient, Tensor::InputGradient),
            (Tensor::OutputGradient, Tensor::ResidualGradient),
        ];
        let in_place = if accumulate { &in_place[..1] } else { &in_place };
        check_overlaps(&written.collect::<Vec<_>>(), &read.collect::<Vec<_>>(), in_place)
    }

    pub fn gradients(&self) -> [(Tensor, bool); 4] {
        [
            (Tensor::InputGradient, self.input_gradient.is_some()),
            (Tensor::ResidualGradient, self.residual_gradient.is_some()),
            (Tensor::WeightGradient, self.weight_gradient.is_some()),
            (Tensor::BiasGradient, self.bias_gradient.is_some()),
        ]
    }
}

impl Forward<'_> {
    /// A tensor of the forward step as backward reads it: where it was, or the copy that is given.
    pub fn kept(
        &self,
        forwards: &Bound,
        given: Option<Bound>,
        output_gradient: &Bound,
    ) -> Result<Bound, PrepareError> {
        let tensor = forwards.tensor;
        let kept = given.unwrap_or_else(|| forwards.clone());
        if tensor != Tensor::Output && kept.overlaps(self.output) {
            return Err(match forwards.same_range(self.output) {
                true => PrepareError::Overwritten { tensor },
                false => PrepareError::ForwardsTensor { tensor, given: Tensor::Output },
            });
        }
        // A copy of x may be dy, too.
        if output_gradient.overlaps(&kept) && kept.overlaps(forwards) {
            return Err(PrepareError::ForwardsTensor { tensor: Tensor::OutputGradient, given: tensor });
        }
        Ok(kept)
    }
}
