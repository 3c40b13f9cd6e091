//! Training and evaluation forward: prepared, and recorded.

use std::sync::Arc;

use super::forward_tensors::Tensors;
use super::mask::BoundMask;
use super::prepared::Prepared;
use super::saved::{Forward, Saved};
use super::{BatchNorm, Evaluation, Guard, PrepareError, Statistics, Step, Training};
use crate::kernels::{Constants, Params, Role};
use crate::plan::{Op, Plan, Work};
use crate::tensor::{Bound, Shape, Tensor};

/// A prepared training step or evaluation, or the application of statistics to a part of a batch
/// ([`BatchNorm::prepare_apply`](crate::BatchNorm::prepare_apply)), to be recorded any number of times: each reads its
/// input, weight and bias anew
/// and, as prepared, moves the running statistics.
///
/// What it saves for its backward is its own until it is dropped: submit what was recorded of it before.
#[derive(Debug)]
pub struct ForwardStep {
    prepared: Prepared,
    /// Parts of a batch share it.
    saved: Arc<Saved>,
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
    /// stays bound, unless another of the same kind is given, and so does the flag of [`Training::commit`]. Saved statistics
    /// stay where they are, unless [`Training::saved`] gives another range in place of one of the caller's. The layer's
    /// vectors are bound where they are now ([`BatchNorm::rebind`]). Tensors
    /// that lie to each other as those before did (in place, in the same buffer, or in buffers of their own) need no other
    /// pipeline, and tensors in several ranges must end where those before did. A backward that was prepared before still
    /// reads the tensors it was prepared with: rebind it too.
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
        let (work, shape) = (self.plan().work(), self.plan().shape());
        let mut training = tensors.into();
        // A flag is bound where one was, only.
        training.commit = training.commit.filter(|_| work.commit);
        let kept = (self.tensors.mask.clone(), self.tensors.commit.clone());
        let saved = match training.saved.take() {
            Some(_) if self.saved.callers().is_none() => {
                let tensor = Tensor::SavedStatistics;
                return Err(PrepareError::OtherTensors { tensor, required: false });
            }
            Some(saved) => layer.saved(Some(saved), batches(shape, work.virtual_batch))?,
            None => self.saved.clone(),
        };
        let vectors = layer.vectors_and(&saved);
        let tensors = layer.forward_tensors(work, shape, &training, kept, &vectors)?;
        BoundMask::check_kind(tensors.mask.as_ref(), work.mask)?;
        let required = self.tensors.residual.is_some();
        if tensors.residual.is_some() != required {
            return Err(PrepareError::OtherTensors { tensor: Tensor::Residual, required });
        }
        self.prepared.bind(&tensors.bindings(&vectors, saved.binding()))?;
        (self.tensors, self.vectors, self.saved) = (tensors, vectors, saved);
        Ok(())
    }

    /// Gives the memory of the step back to its context, at once. Dropping the step does the same; this says so where
    /// resources are destroyed by hand, since a garbage collector frees them late (in browsers).
    pub fn destroy(self) {}

    pub(super) fn forward(&self) -> Forward<'_> {
        Forward {
            work: self.plan().work(),
            shape: self.plan().shape(),
            statistics: self.statistics,
            saved: self.saved.binding(),
            vectors: &self.vectors,
            input: &self.tensors.input,
            residual: self.tensors.residual.as_ref(),
            mask: self.tensors.mask.as_ref(),
            output: &self.tensors.output,
            id: self.id,
            elsewhere: false,
        }
    }

    /// Bytes of what the step saves, of all its virtual batches.
    pub(super) fn saved_bytes(&self, layer: &BatchNorm) -> u64 {
        layer.saved_bytes() * batches(self.plan().shape(), self.plan().work().virtual_batch)
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
        let Training { virtual_batch, statistics, update_running, ref saved, .. } = training;
        shape.validate(self.features())?;
        if statistics == Statistics::Running && !self.descriptor.track_running_stats {
            return Err(PrepareError::NotTracked);
        }
        let needs_batch = statistics == Statistics::Batch || update_running;
        if needs_batch && has_one_value(shape, virtual_batch) && training.mask.is_none() {
            return Err(PrepareError::OneValuePerFeature { given: 1, shape });
        }
        let op = if needs_batch { Op::Training { update_running } } else { Op::Evaluation };
        let work = Work::from(op).virtual_batch(virtual_batch);
        let guard = update_running && training.guard == Guard::SkipNonFinite;
        let work = work.guard(guard).commit(update_running && training.commit.is_some());
        let saved = self.saved(saved.clone(), batches(shape, virtual_batch))?;
        self.forward_step(work, shape, saved, statistics, &training)
    }

    /// Where statistics are saved: in the caller's buffer, or else in memory of the context's.
    pub(super) fn saved(
        &self,
        callers: Option<wgpu::BufferBinding<'_>>,
        batches: u64,
    ) -> Result<Arc<Saved>, PrepareError> {
        let bytes = self.saved_bytes() * batches;
        Ok(Arc::new(match callers {
            None => Saved::Contexts(self.context.saved(bytes)?),
            Some(saved) => Saved::Callers(self.bound(Tensor::SavedStatistics, &saved, bytes)?),
        }))
    }

    /// What kernels that finish or evaluate features are told.
    pub(super) fn forward_params(&self, statistics: Statistics, update_running: bool) -> Params {
        Params {
            update_running: update_running.into(),
            use_running: (statistics == Statistics::Running).into(),
            unbiased: if self.descriptor.convention.unbiased_running_variance() { 1.0 } else { 0.0 },
            eps: self.descriptor.eps,
            momentum: self.descriptor.momentum.map_or(-1.0, |m| self.descriptor.convention.batch_share(m)),
            ..Params::new(self.features(), self.parameter_stride() as u32)
        }
    }

    /// The layer's vectors, and saved statistics where they are the caller's: what tensors may not overlap.
    pub(super) fn vectors_and(&self, saved: &Saved) -> Vec<(Role, Bound)> {
        let mut vectors = self.vectors.bounds();
        vectors.extend(saved.callers().map(|bound| (Role::Saved, bound.clone())));
        vectors
    }

    /// Checks tensors, plans and binds a forward step: what `work` says of tensors stored, and with an epilogue, as
    /// `training` says.
    pub(super) fn forward_step(
        &self,
        work: Work,
        shape: Shape,
        saved: Arc<Saved>,
        statistics: Statistics,
        training: &Training<'_>,
    ) -> Result<ForwardStep, PrepareError> {
        let vectors = self.vectors_and(&saved);
        let work = work.storage(training.storage).epilogue(training.epilogue());
        let mask = training.mask.as_ref().map(|mask| mask.kind());
        let work = work.separate_vectors(!self.vectors.joint()).mask(mask);
        let tensors = self.forward_tensors(work, shape, training, (None, None), &vectors)?;
        let params = Params {
            slope: training.activation.slope(),
            ..self.forward_params(statistics, matches!(work.op, Op::Training { update_running: true }))
        };
        let bindings = tensors.bindings(&vectors, saved.binding());
        let all = tensors.all().map(|(_, tensor)| tensor);
        let prepared = self.planned(work, shape, all, training.plan, |plan| {
            Prepared::new(self, plan, params, Constants::default(), &bindings)
        })?;
        drop(bindings);
        Ok(ForwardStep { prepared, saved, statistics, vectors, tensors, id: self.id })
    }
}

/// How many batches there are, virtual or not.
fn batches(shape: Shape, virtual_batch: Option<u32>) -> u64 {
    match virtual_batch {
        Some(examples @ 1..) => u64::from(shape.batch()).div_ceil(examples.into()).max(1),
        _ => 1,
    }
}

/// Whether some batch, virtual or not, has one value per feature.
fn has_one_value(shape: Shape, virtual_batch: Option<u32>) -> bool {
    let last = match virtual_batch {
        Some(1) => shape.batch().min(1),
        Some(examples @ 2..) if !shape.batch().is_multiple_of(examples) => shape.batch() % examples,
        Some(examples @ 2..) => shape.batch().min(examples),
        _ => shape.batch(),
    };
    last == 1 && shape.positions() == 1
}
