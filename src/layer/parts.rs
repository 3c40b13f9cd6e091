//! Training forward in parts: moments of each part, saved statistics from all of them, y of each part.

use std::sync::Arc;

use super::bindings::{Source, ranges, tensors};
use super::prepared::Prepared;
use super::saved::Saved;
use super::{BatchNorm, Evaluation, ForwardStep, Guard, Mask, PrepareError, Statistics, Step};
use crate::kernels::{Constants, Params, Role};
use crate::plan::{Op, Plan, PlanError, PlanRequest, Work};
use crate::tensor::{Shape, StorageType, Tensor, TensorBinding};

/// The moments of a part of a batch, and the record of the caller's that they go to.
///
/// A record is four vectors of C float32, each [`BatchNorm::parameter_stride`] float32 after the one before: the count of
/// values, their mean as a float32 and what is missing to it, and a sixteenth of their biased variance. (A few values may
/// have a variance beyond float32 where all of them have not.) [`BatchNorm::moments_bytes`] is its size. A record of
/// zeros is that of no values. Records one behind the other are what [`Finalize`] merges.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Moments<'a> {
    input: TensorBinding<'a>,
    record: wgpu::BufferBinding<'a>,
    mask: Option<Mask<'a>>,
    accumulate: bool,
    storage: StorageType,
    plan: PlanRequest,
}

impl<'a> Moments<'a> {
    /// The moments of x, which overwrite the record.
    pub fn new(input: impl Into<TensorBinding<'a>>, record: wgpu::BufferBinding<'a>) -> Self {
        let (storage, plan) = (StorageType::default(), PlanRequest::default());
        Self { input: input.into(), record, mask: None, accumulate: false, storage, plan }
    }

    /// Which examples and positions take part.
    pub fn mask(self, mask: Mask<'a>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// Whether to merge with what the record holds instead of overwriting it.
    ///
    /// Counts are float32: exact up to 2²⁴ values, then rounded each time.
    pub fn accumulate(self, accumulate: bool) -> Self {
        Self { accumulate, ..self }
    }

    /// How the values of x lie in memory, as [`Training::storage`](crate::Training::storage).
    pub fn storage(self, storage: StorageType) -> Self {
        Self { storage, ..self }
    }

    /// What to fix of the plan.
    pub fn plan(self, plan: PlanRequest) -> Self {
        Self { plan, ..self }
    }
}

/// Prepared moments of a part of a batch.
#[derive(Debug)]
pub struct MomentsStep {
    prepared: Prepared,
}

/// What is to be made of the moments of all parts of a batch. The default is what [`Training`](crate::Training)'s is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finalize<'a> {
    records: wgpu::BufferBinding<'a>,
    count: u32,
    values: Option<u64>,
    statistics: Statistics,
    update_running: bool,
    batch_share: Option<f32>,
    guard: Guard,
    commit: Option<wgpu::BufferBinding<'a>>,
    saved: Option<wgpu::BufferBinding<'a>>,
}

impl<'a> Finalize<'a> {
    /// Merges `count` records of moments, one behind the other, in this order; moves the running statistics, once.
    pub fn new(records: wgpu::BufferBinding<'a>, count: u32) -> Self {
        Self {
            records,
            count,
            values: None,
            statistics: Statistics::Batch,
            update_running: true,
            batch_share: None,
            guard: Guard::None,
            commit: None,
            saved: None,
        }
    }

    /// How many values per feature the records hold together, where that is known: 1 is refused, as for a whole batch. It
    /// is not needed otherwise, since records carry their counts.
    pub fn values(self, values: u64) -> Self {
        Self { values: Some(values), ..self }
    }

    /// Which statistics normalize, as [`Training::statistics`](crate::Training::statistics).
    pub fn statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }

    /// Whether the running statistics move, as [`Training::update_running`](crate::Training::update_running).
    pub fn update_running(self, update_running: bool) -> Self {
        Self { update_running, ..self }
    }

    /// The share of these statistics in the new running ones, in 0..=1, in place of what the layer's momentum says. 1
    /// makes them the running statistics: those of a whole data set, as after the averaging of weights.
    pub fn batch_share(self, share: f32) -> Self {
        Self { batch_share: Some(share), ..self }
    }

    /// What becomes of running statistics where these are not finite, as [`Training::guard`](crate::Training::guard).
    pub fn guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// A flag without which no running statistic moves, as [`Training::commit`](crate::Training::commit).
    pub fn commit(self, commit: wgpu::BufferBinding<'a>) -> Self {
        Self { commit: Some(commit), ..self }
    }

    /// Where to save the statistics, as [`Training::saved`](crate::Training::saved).
    pub fn saved(self, saved: wgpu::BufferBinding<'a>) -> Self {
        Self { saved: Some(saved), ..self }
    }
}

/// Prepared: from records of moments to saved statistics, which the parts of a batch are normalized with
/// ([`BatchNorm::prepare_apply`]).
#[derive(Debug)]
pub struct FinalizeStep {
    prepared: Prepared,
    pub(super) saved: Arc<Saved>,
    pub(super) statistics: Statistics,
    pub(super) id: u64,
}

/// What all prepared steps have.
macro_rules! step {
    ($step:ident) => {
        impl $step {
            /// Records the step's dispatches. Allocates nothing, submits nothing, cannot fail.
            ///
            /// Sets the pass's pipeline and bind groups 0 and 1 and leaves them so.
            pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
                self.prepared.record(pass);
            }

            /// How it will be done.
            pub fn plan(&self) -> &Plan {
                &self.prepared.plan
            }

            /// The dispatches as data. Not part of the API.
            #[doc(hidden)]
            pub fn dispatches(&self) -> Vec<crate::layer::DispatchDescription> {
                self.prepared.dispatches()
            }
        }

        impl Step for $step {
            fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
                self.record(pass);
            }

            fn plan(&self) -> &Plan {
                self.plan()
            }
        }
    };
}
pub(super) use step;

step!(MomentsStep);
step!(FinalizeStep);

impl BatchNorm {
    /// Prepares the moments of a part of a batch, of one example or of none too.
    ///
    /// # Errors
    /// [`PrepareError`] of the shape and the bindings.
    pub fn prepare_moments(&self, shape: Shape, moments: Moments<'_>) -> Result<MomentsStep, PrepareError> {
        shape.validate(self.features())?;
        let work = Work::from(Op::Moments).storage(moments.storage);
        let mask = moments.mask.as_ref().map(|mask| self.bound_mask(mask, shape)).transpose()?;
        let work = work.mask(mask.as_ref().map(|mask| mask.kind));
        let input = self.tensor(Tensor::Input, &moments.input, shape, work)?;
        let record = self.bound(Tensor::Moments, &moments.record, self.moments_bytes())?;
        let vectors = self.vectors.bounds();
        let read = input.bounds().chain(mask.iter().map(|mask| &mask.bound));
        self.check_written([&record].into_iter(), read, &vectors, &[])?;
        let plan = self.plan(work, shape, [&input], moments.plan)?;
        let params = Params {
            accumulate: moments.accumulate.into(),
            ..Params::new(self.features(), self.parameter_stride() as u32)
        };
        let mask = mask.iter().map(|mask| (mask.role(), &mask.bound));
        let whole = mask.chain([(Role::Record, &record)]);
        let bindings = tensors([(Role::Input, &input)]).chain(ranges(whole)).collect();
        Ok(MomentsStep { prepared: Prepared::new(self, plan, params, Constants::default(), &bindings)? })
    }

    /// Prepares what comes between the moments of all parts and the normalization of each: saved statistics, and new
    /// running ones.
    ///
    /// # Errors
    /// [`PrepareError`] of the bindings; one value per feature, where [`Finalize::values`] says so.
    pub fn prepare_finalize(&self, finalize: Finalize<'_>) -> Result<FinalizeStep, PrepareError> {
        let Finalize { records, count, values, statistics, batch_share, saved, .. } = finalize;
        let tracks = self.descriptor.track_running_stats;
        let update_running = finalize.update_running && tracks;
        let shape = Shape::rows(0, self.features());
        if statistics == Statistics::Running && !tracks {
            return Err(PrepareError::NotTracked);
        }
        if values == Some(1) {
            let shape = Shape::rows(1, self.features());
            return Err(PrepareError::OneValuePerFeature { given: 1, shape });
        }
        let mut params = self.forward_params(statistics, update_running);
        if let Some(share) = batch_share {
            if !(0.0..=1.0).contains(&share) {
                return Err(PrepareError::BatchShare { given: share });
            }
            params.momentum = share;
        }
        let records = self.records(Tensor::Moments, &records, count, self.moments_bytes())?;
        let saved = self.saved(saved, 1)?;
        let vectors = self.vectors_and(&saved);
        let commit = finalize.commit.filter(|_| update_running);
        let commit = commit.map(|commit| self.bound(Tensor::Commit, &commit, 4)).transpose()?;
        self.check_written([&records].into_iter(), commit.iter(), &vectors, &[])?;
        let work = Work::from(Op::Finalize { records: count, update_running })
            .separate_vectors(!self.vectors.joint())
            .guard(update_running && finalize.guard == Guard::SkipNonFinite)
            .commit(commit.is_some());
        let plan = self.plan(work, shape, [], PlanRequest::default())?;
        let others =
            vectors.iter().filter(|(role, _)| *role != Role::Saved).map(|(role, bound)| (*role, bound));
        let others = others.chain(commit.iter().map(|commit| (Role::Commit, commit)));
        let bindings = ranges(others.chain([(Role::Partials, &records)]))
            .chain([(Role::Saved, Source::Range(saved.binding()))])
            .collect();
        let prepared = Prepared::new(self, plan, params, Constants::default(), &bindings)?;
        drop(bindings);
        Ok(FinalizeStep { prepared, saved, statistics, id: self.id })
    }

    /// Prepares the normalization of a part of a batch with finalized statistics.
    ///
    /// # Errors
    /// [`PrepareError`], as [`prepare_training`](Self::prepare_training); but a part may have one value per feature.
    pub fn prepare_apply(
        &self,
        finalized: &FinalizeStep,
        shape: Shape,
        tensors: Evaluation<'_>,
    ) -> Result<ForwardStep, PrepareError> {
        if finalized.id != self.id {
            return Err(PrepareError::OtherLayer);
        }
        shape.validate(self.features())?;
        let (statistics, saved) = (finalized.statistics, finalized.saved.clone());
        self.forward_step(Op::Apply.into(), shape, saved, statistics, &tensors.into())
    }

    /// So many records of the caller's, checked.
    pub(super) fn records(
        &self,
        tensor: Tensor,
        records: &wgpu::BufferBinding<'_>,
        count: u32,
        bytes: u64,
    ) -> Result<crate::tensor::Bound, PrepareError> {
        if count == 0 {
            return Err(PlanError::request("at least 1 record", 0).into());
        }
        self.bound(tensor, records, bytes * u64::from(count))
    }
}
