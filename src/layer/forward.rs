//! Training and evaluation forward: prepared, and recorded.

use super::mask::BoundMask;
use super::prepared::{Bindings, Prepared, bindings_of};
use super::saved::{Forward, Saved};
use super::{BatchNorm, Evaluation, Guard, PrepareError, Statistics, Step, Training};
use crate::kernels::{Params, Role};
use crate::plan::{Op, Plan, Work};
use crate::tensor::{Bound, Shape, Tensor, check_overlaps};

/// The tensors of a forward step, checked.
#[derive(Debug)]
struct Tensors {
    input: Bound,
    output: Bound,
    residual: Option<Bound>,
    mask: Option<BoundMask>,
    commit: Option<Bound>,
}

/// A prepared training step or evaluation, to be recorded any number of times: each reads its input, weight and bias anew
/// and, as prepared, moves the running statistics.
///
/// What it saves for its backward is its own until it is dropped: submit what was recorded of it before.
#[derive(Debug)]
pub struct ForwardStep {
    prepared: Prepared,
    saved: Saved,
    statistics: Statistics,
    /// The layer's vectors, and saved statistics in a buffer of the caller's.
    vectors: Vec<(Role, Bound)>,
    tensors: Tensors,
    /// The layer's.
    id: u64,
}

impl ForwardStep {
    /// Records the step's dispatches. Allocates nothing, submits nothing, cannot fail.
    ///
    /// Sets the pass's pipeline and bind groups 0 and 1 and leaves them so. Steps and the caller's own dispatches may
    /// share a pass: each sees what those before it wrote.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.prepared.record(pass);
    }

    /// How it will be done.
    pub fn plan(&self) -> &Plan {
        &self.prepared.plan
    }

    /// Binds other tensors under the same plan, at the cost of bind groups alone: those of a [`Training`] or an
    /// [`Evaluation`](crate::Evaluation). All else stays what it was; a residual must be given where there was one. A mask
    /// stays bound, unless another of the same kind is given, and so does the flag of [`Training::commit`]. Tensors
    /// that lie to each other as those before did (in place, in the same buffer, or in buffers of their own) need no other
    /// pipeline. A backward that was prepared before still reads the tensors it was prepared with: rebind it too.
    ///
    /// # Errors
    /// [`PrepareError`] of the bindings; the step stays as it was.
    pub fn rebind<'a>(
        &mut self,
        layer: &BatchNorm,
        tensors: impl Into<Training<'a>>,
    ) -> Result<(), PrepareError> {
        if layer.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        let (mut training, shape) = (tensors.into(), self.plan().shape());
        // A flag is bound where one was, only.
        training.commit = training.commit.filter(|_| self.plan().work().commit);
        let kept = (self.tensors.mask.clone(), self.tensors.commit.clone());
        let tensors = layer.forward_tensors(shape, self.plan().work(), &training, kept, &self.vectors)?;
        BoundMask::check_kind(tensors.mask.as_ref(), self.plan().work().mask)?;
        let required = self.tensors.residual.is_some();
        if tensors.residual.is_some() != required {
            return Err(PrepareError::OtherTensors { tensor: Tensor::Residual, required });
        }
        let saved = self.saved.binding();
        self.prepared.bind(&tensors.bindings(&self.vectors, saved))?;
        self.tensors = tensors;
        Ok(())
    }

    /// Gives the memory of the step back to its context, at once. Dropping the step does the same; this says so where
    /// resources are destroyed by hand, since a garbage collector frees them late (in browsers).
    pub fn destroy(self) {}

    pub(super) fn forward(&self) -> Forward<'_> {
        Forward {
            shape: self.plan().shape(),
            storage: self.plan().work().storage,
            statistics: self.statistics,
            saved: self.saved.binding(),
            vectors: &self.vectors,
            epilogue: self.plan().work().epilogue,
            input: &self.tensors.input,
            residual: self.tensors.residual.as_ref(),
            mask: self.tensors.mask.as_ref(),
            output: &self.tensors.output,
            id: self.id,
        }
    }

    /// The dispatches as data. Not part of the API.
    #[doc(hidden)]
    pub fn dispatches(&self) -> Vec<super::DispatchDescription> {
        self.prepared.dispatches()
    }
}

impl Step for ForwardStep {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record(pass);
    }

    fn plan(&self) -> &Plan {
        self.plan()
    }
}

impl Tensors {
    fn bindings<'a>(&'a self, vectors: &'a [(Role, Bound)], saved: wgpu::BufferBinding<'a>) -> Bindings<'a> {
        let Self { input, output, residual, mask, commit } = self;
        let tensors = [
            (Role::Input, Some(input)),
            (Role::Output, Some(output)),
            (Role::Residual, residual.as_ref()),
            (Role::Commit, commit.as_ref()),
        ];
        let mut bindings = bindings_of(tensors.into_iter().filter_map(|(role, bound)| Some((role, bound?))));
        bindings.extend(bindings_of(mask.iter().map(|mask| (mask.role(), &mask.bound))));
        bindings.push((Role::Saved, saved));
        let vectors = vectors.iter().filter(|(role, _)| *role != Role::Saved);
        bindings.extend(bindings_of(vectors.map(|(role, bound)| (*role, bound))));
        bindings
    }
}

impl BatchNorm {
    /// Prepares a training step: validates, plans, allocates scratch, binds.
    ///
    /// An empty batch is allowed, as in PyTorch: the step then only counts it.
    ///
    /// # Errors
    /// [`PrepareError`]: among others one value per feature (PyTorch's `ValueError`), and bindings that are too small,
    /// misaligned, overlapping, or larger than the device can bind. The layer stays as it was.
    pub fn prepare_training(
        &self,
        shape: Shape,
        training: Training<'_>,
    ) -> Result<ForwardStep, PrepareError> {
        let training = Training {
            update_running: training.update_running && self.descriptor.track_running_stats,
            ..training
        };
        self.prepare_forward(shape, training)
    }

    /// Prepares an evaluation: validates, plans, binds. Uses the batch's own statistics where the layer was made
    /// without `track_running_stats`, as PyTorch does.
    ///
    /// # Errors
    /// [`PrepareError`], as [`prepare_training`](Self::prepare_training). One value per feature is an error only where
    /// the batch's statistics are used.
    pub fn prepare_evaluation(
        &self,
        shape: Shape,
        evaluation: Evaluation<'_>,
    ) -> Result<ForwardStep, PrepareError> {
        let statistics = match self.descriptor.track_running_stats {
            true => Statistics::Running,
            false => Statistics::Batch,
        };
        let training = Training::from(evaluation).statistics(statistics).update_running(false);
        self.prepare_forward(shape, training)
    }

    fn prepare_forward(&self, shape: Shape, training: Training<'_>) -> Result<ForwardStep, PrepareError> {
        let commit = training.commit.filter(|_| training.update_running);
        let training = Training { commit, ..training };
        let Training { statistics, update_running, ref saved, storage, plan: request, .. } = training;
        shape.validate(self.features())?;
        if statistics == Statistics::Running && !self.descriptor.track_running_stats {
            return Err(PrepareError::NotTracked);
        }
        let needs_batch = statistics == Statistics::Batch || update_running;
        if needs_batch && shape.count() == 1 && training.mask.is_none() {
            return Err(PrepareError::OneValuePerFeature { given: 1, shape });
        }
        let mut vectors = self.vectors.bounds();
        let saved = match saved {
            None => Saved::Contexts(self.context.saved(self.saved_bytes())),
            Some(saved) => {
                let bound = self.bound(Tensor::SavedStatistics, saved, self.saved_bytes())?;
                vectors.push((Role::Saved, bound.clone()));
                Saved::Callers(bound)
            }
        };
        let op = if needs_batch { Op::Training { update_running } } else { Op::Evaluation };
        let work = Work::from(op)
            .storage(storage)
            .epilogue(training.epilogue())
            .separate_vectors(!self.vectors.joint())
            .mask(training.mask.as_ref().map(|mask| mask.kind()))
            .guard(update_running && training.guard == Guard::SkipNonFinite)
            .commit(training.commit.is_some());
        let tensors = self.forward_tensors(shape, work, &training, (None, None), &vectors)?;
        let plan = Plan::new(self.context.profile(), work, shape, request)?;
        let frozen = statistics == Statistics::Running;
        let params = Params {
            update_running: update_running.into(),
            use_running: frozen.into(),
            unbiased: if self.descriptor.convention.unbiased_running_variance() { 1.0 } else { 0.0 },
            eps: self.descriptor.eps,
            slope: training.activation.slope(),
            momentum: self.descriptor.momentum.map_or(-1.0, |m| self.descriptor.convention.batch_share(m)),
            ..Params::new(self.features(), self.parameter_stride() as u32)
        };
        let bindings = tensors.bindings(&vectors, saved.binding());
        let prepared = Prepared::new(self, plan, params, frozen, &bindings)?;
        drop(bindings);
        Ok(ForwardStep { prepared, saved, statistics, vectors, tensors, id: self.id })
    }

    /// The tensors, checked beside the layer's vectors; `kept` are the mask and the flag where no other is given.
    fn forward_tensors(
        &self,
        shape: Shape,
        work: Work,
        training: &Training<'_>,
        kept: (Option<BoundMask>, Option<Bound>),
        vectors: &[(Role, Bound)],
    ) -> Result<Tensors, PrepareError> {
        let bytes = work.bytes(shape);
        let residual = training.residual.as_ref();
        let mask = training.mask.as_ref().map(|mask| self.bound_mask(mask, shape)).transpose()?;
        let commit = training.commit.as_ref();
        let commit = commit.map(|commit| self.bound(Tensor::Commit, commit, 4)).transpose()?;
        let tensors = Tensors {
            input: self.bound(Tensor::Input, &training.input, bytes)?,
            output: self.bound(Tensor::Output, &training.output, bytes)?,
            residual: residual.map(|z| self.bound(Tensor::Residual, z, bytes)).transpose()?,
            mask: mask.or(kept.0),
            commit: commit.or(kept.1),
        };
        self.check_forward(&tensors, vectors)?;
        Ok(tensors)
    }

    /// That what is written overlaps nothing else.
    fn check_forward(&self, tensors: &Tensors, vectors: &[(Role, Bound)]) -> Result<(), PrepareError> {
        let Tensors { input, output, residual, mask, commit } = tensors;
        let (own, callers) = (&self.vectors.own, vectors.iter().map(|(_, bound)| bound));
        // All count as written, since kernels that move running statistics bind them so.
        let mut written: Vec<_> = callers.filter(|bound| *own != bound.buffer).collect();
        let mut read: Vec<_> = commit.iter().collect();
        if input.bytes > 0 {
            written.push(output);
            read.push(input);
            read.extend(residual.iter().chain(mask.iter().map(|mask| &mask.bound)));
        }
        let in_place = [(Tensor::Input, Tensor::Output), (Tensor::Residual, Tensor::Output)];
        Ok(check_overlaps(&written, &read, &in_place)?)
    }
}
