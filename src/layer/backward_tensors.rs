//! The tensors of a backward step, and what they must be like.

use std::sync::Arc;

use super::bindings::{Bindings, Source, ranges, tensors};
use super::mask::BoundMask;
use super::saved::Forward;
use super::{PrepareError, Statistics};
use crate::kernels::{Range, Role};
use crate::plan::{Op, PreActivation, ResidualGradient, Work};
use crate::tensor::{BindingError, Bound, BoundTensor, Tensor, check_overlaps};

/// The tensors of a backward step, checked, and what is to be done with them.
pub(super) struct Tensors {
    pub work: Work,
    pub output_gradient: BoundTensor,
    pub input: Option<BoundTensor>,
    pub output: Option<BoundTensor>,
    pub residual: Option<BoundTensor>,
    pub mask: Option<BoundMask>,
    pub input_gradient: Option<BoundTensor>,
    pub residual_gradient: Option<BoundTensor>,
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
        let mask = self.mask.as_ref().map(|mask| mask.kind);
        let op = Op::Backward { reduce, apply };
        Work { op, pre_activation, residual_gradient, guard: false, commit: false, ..forward.work }.mask(mask)
    }

    pub fn kept_mut(&mut self, tensor: Tensor) -> &mut Option<BoundTensor> {
        match tensor {
            Tensor::Residual => &mut self.residual,
            Tensor::Output => &mut self.output,
            _ => &mut self.input,
        }
    }

    pub fn all(&self) -> impl Iterator<Item = (Role, &BoundTensor)> {
        let tensors = [
            (Role::OutputGradient, Some(&self.output_gradient)),
            (Role::Input, self.input.as_ref()),
            (Role::Output, self.output.as_ref()),
            (Role::Residual, self.residual.as_ref()),
            (Role::InputGradient, self.input_gradient.as_ref()),
            (Role::ResidualGradient, self.residual_gradient.as_ref()),
        ];
        tensors.into_iter().filter_map(|(role, tensor)| Some((role, tensor?)))
    }

    fn parameter_gradients(&self) -> impl Iterator<Item = (Role, &Bound)> {
        let gradients = [
            (Role::WeightGradient, self.weight_gradient.as_ref()),
            (Role::BiasGradient, self.bias_gradient.as_ref()),
        ];
        gradients.into_iter().filter_map(|(role, bound)| Some((role, bound?)))
    }

    pub fn bindings<'a>(&'a self, saved: wgpu::BufferBinding<'a>, other: &'a Other) -> Bindings<'a> {
        tensors(self.all())
            .chain(ranges(self.parameter_gradients()))
            .chain(ranges(self.mask.iter().map(|mask| (mask.role(), &mask.bound))))
            .chain([(Role::Saved, Source::Range(saved))])
            .chain(other.source())
            .collect()
    }

    /// That gradients overlap nothing else: none of the layer's vectors either, nor what the forward step saved. dx or dz
    /// may take the place of dy; but not a dz that is added to.
    pub fn check_gradients(
        &self,
        forward: &Forward<'_>,
        accumulate: bool,
        other: &Other,
    ) -> Result<(), BindingError> {
        let gradients = [&self.input_gradient, &self.residual_gradient].into_iter().flatten();
        let parameters = self.parameter_gradients().map(|(_, bound)| bound);
        let written = gradients.flat_map(BoundTensor::bounds).chain(parameters).chain(other.record());
        let kept = [&self.input, &self.output, &self.residual].into_iter().flatten();
        let mask = self.mask.iter().map(|mask| &mask.bound);
        let tensors = kept.chain([&self.output_gradient]).flat_map(BoundTensor::bounds).chain(mask);
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

/// What a step of a part of a batch binds beside its tensors.
#[derive(Debug)]
pub(super) enum Other {
    None,
    /// The record that gradient sums go to.
    Record(Bound),
    /// What finalizing them left for dx.
    Means(Arc<Range>),
}

impl Other {
    fn record(&self) -> Option<&Bound> {
        match self {
            Self::Record(bound) => Some(bound),
            _ => None,
        }
    }

    fn source(&self) -> Option<(Role, Source<'_>)> {
        match self {
            Self::None => None,
            Self::Record(bound) => Some((Role::Record, Source::Range(bound.binding()))),
            Self::Means(range) => Some((Role::Means, Source::Range(range.binding()))),
        }
    }
}

impl Forward<'_> {
    /// A tensor of the forward step as backward reads it: where it was, or the copy that is given.
    pub fn kept(
        &self,
        forwards: &BoundTensor,
        given: Option<BoundTensor>,
        output_gradient: &BoundTensor,
    ) -> Result<BoundTensor, PrepareError> {
        let tensor = forwards.tensor();
        if self.elsewhere {
            return given.ok_or(PrepareError::NotGiven { tensor });
        }
        let kept = given.unwrap_or_else(|| forwards.clone());
        if tensor != Tensor::Output && kept.overlaps(self.output) {
            return Err(match forwards.same_ranges(self.output) {
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
