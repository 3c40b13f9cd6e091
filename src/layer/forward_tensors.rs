//! The tensors of a forward step, and what they must be like.

use super::bindings::{Bindings, Source, ranges, tensors};
use super::mask::BoundMask;
use super::{BatchNorm, PrepareError, Training};
use crate::kernels::Role;
use crate::plan::Work;
use crate::tensor::{Bound, BoundTensor, Shape, Tensor, check_overlaps};

/// The tensors of a forward step, checked.
#[derive(Debug)]
pub(super) struct Tensors {
    pub input: BoundTensor,
    pub output: BoundTensor,
    pub residual: Option<BoundTensor>,
    pub mask: Option<BoundMask>,
    pub commit: Option<Bound>,
}

impl Tensors {
    pub fn all(&self) -> impl Iterator<Item = (Role, &BoundTensor)> {
        let residual = self.residual.iter().map(|residual| (Role::Residual, residual));
        [(Role::Input, &self.input), (Role::Output, &self.output)].into_iter().chain(residual)
    }

    /// What is not cut as tensors are.
    fn whole(&self) -> impl Iterator<Item = (Role, &Bound)> {
        let mask = self.mask.iter().map(|mask| (mask.role(), &mask.bound));
        mask.chain(self.commit.iter().map(|commit| (Role::Commit, commit)))
    }

    pub fn bindings<'a>(
        &'a self,
        vectors: &'a [(Role, Bound)],
        saved: wgpu::BufferBinding<'a>,
    ) -> Bindings<'a> {
        let vectors = vectors.iter().filter(|(role, _)| *role != Role::Saved);
        tensors(self.all())
            .chain(ranges(self.whole()))
            .chain([(Role::Saved, Source::Range(saved))])
            .chain(ranges(vectors.map(|(role, bound)| (*role, bound))))
            .collect()
    }
}

impl BatchNorm {
    /// The tensors, checked beside the layer's vectors; `kept` are the mask and the flag where no other is given.
    pub(super) fn forward_tensors(
        &self,
        work: Work,
        shape: Shape,
        training: &Training<'_>,
        kept: (Option<BoundMask>, Option<Bound>),
        vectors: &[(Role, Bound)],
    ) -> Result<Tensors, PrepareError> {
        let residual = training.residual.as_ref();
        let mask = training.mask.as_ref().map(|mask| self.bound_mask(mask, shape)).transpose()?;
        let commit = training.commit.as_ref().filter(|_| work.commit);
        let commit = commit.map(|commit| self.bound(Tensor::Commit, commit, 4)).transpose()?;
        let tensors = Tensors {
            input: self.tensor(Tensor::Input, &training.input, shape, work)?,
            output: self.tensor(Tensor::Output, &training.output, shape, work)?,
            residual: residual.map(|z| self.tensor(Tensor::Residual, z, shape, work)).transpose()?,
            mask: mask.or(kept.0),
            commit: commit.or(kept.1),
        };
        let read = [Some(&tensors.input), tensors.residual.as_ref()].into_iter().flatten();
        let read = read.flat_map(BoundTensor::bounds).chain(tensors.whole().map(|(_, bound)| bound));
        let in_place = [(Tensor::Input, Tensor::Output), (Tensor::Residual, Tensor::Output)];
        self.check_written(tensors.output.bounds(), read, vectors, &in_place)?;
        Ok(tensors)
    }

    /// That what is written overlaps nothing else, and none of the layer's vectors, all of which count as written, since
    /// kernels that move running statistics bind them so.
    pub(super) fn check_written<'a>(
        &self,
        written: impl Iterator<Item = &'a Bound>,
        read: impl Iterator<Item = &'a Bound>,
        vectors: &'a [(Role, Bound)],
        in_place: &[(Tensor, Tensor)],
    ) -> Result<(), PrepareError> {
        let mut written: Vec<&Bound> = written.collect();
        if !written.is_empty() {
            let callers = vectors.iter().map(|(_, bound)| bound);
            written.extend(callers.filter(|bound| self.vectors.own != bound.buffer));
            check_overlaps(&written, &read.collect::<Vec<_>>(), in_place)?;
        }
        Ok(())
    }
}
