//! Training and evaluation forward: what is prepared, and what is recorded.

use crate::binding::{Bound, arrangement};
use crate::dispatch::DispatchDescription;
use crate::error::{PrepareError, Tensor};
use crate::kernels::{Kernel, Tensors};
use crate::layer::BatchNorm;
use crate::params::Params;
use crate::plan::{Path, Plan, PlanRequest, Work};
use crate::prepared::{Preparation, Prepared, slot};
use crate::shape::Shape;

/// Which statistics normalize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Statistics {
    /// Mean and biased variance of the batch.
    #[default]
    Batch,
    /// The running statistics, as they were before the step.
    Running,
}

/// A training step: its tensors, and choices that [`Training::new`] makes as PyTorch's `train()` does.
#[derive(Debug, Clone)]
pub struct Training<'a> {
    /// x: a `STORAGE` buffer's range that holds the shape's float32 values; its offset a multiple of the device's
    /// `min_storage_buffer_offset_alignment`.
    pub input: wgpu::BufferBinding<'a>,
    /// y, likewise; the same range as `input` to work in place, or one that does not overlap it.
    pub output: wgpu::BufferBinding<'a>,
    /// Which statistics normalize. [`Statistics::Running`] makes the layer frozen in a network that trains.
    pub statistics: Statistics,
    /// Whether the running statistics move and the batch is counted. `false` to compute a forward again (activation
    /// checkpointing), or for a frozen layer. Without effect where the layer does not track.
    pub update_running: bool,
    /// What to fix of the plan.
    pub plan: PlanRequest,
}

impl<'a> Training<'a> {
    /// Normalize with batch statistics and move the running ones.
    pub fn new(input: wgpu::BufferBinding<'a>, output: wgpu::BufferBinding<'a>) -> Self {
        Self {
            input,
            output,
            statistics: Statistics::Batch,
            update_running: true,
            plan: PlanRequest::default(),
        }
    }
}

/// An evaluation: its tensors, as [`Training`]'s.
#[derive(Debug, Clone)]
pub struct Evaluation<'a> {
    /// x.
    pub input: wgpu::BufferBinding<'a>,
    /// y; the same range as `input` to work in place, or one that does not overlap it.
    pub output: wgpu::BufferBinding<'a>,
    /// What to fix of the plan.
    pub plan: PlanRequest,
}

impl<'a> Evaluation<'a> {
    /// Normalize with the running statistics, and change nothing of the layer.
    pub fn new(input: wgpu::BufferBinding<'a>, output: wgpu::BufferBinding<'a>) -> Self {
        Self { input, output, plan: PlanRequest::default() }
    }
}

/// What a forward step leaves for its backward: the per-feature record (mean, invstd, weight as they were), O(C).
#[derive(Debug)]
pub struct Saved {
    pub record: wgpu::Buffer,
    pub shape: Shape,
    pub statistics: Statistics,
    /// The layer's state, to know the layer by.
    pub layer: wgpu::Buffer,
    /// x, where y has taken its place.
    pub(crate) overwritten: Option<Bound>,
}

macro_rules! step {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            prepared: Prepared,
            saved: Saved,
        }

        impl $name {
            /// Records the step's dispatches. Allocates nothing, submits nothing, cannot fail.
            ///
            /// Sets the pass's pipeline and bind group 0 and leaves them so. Steps and the caller's own dispatches may
            /// share a pass: each sees what those before it wrote.
            pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
                self.prepared.record(pass);
            }

            /// How it will be done.
            pub fn plan(&self) -> &Plan {
                &self.prepared.plan
            }

            /// The step's dispatches as data, in the order of recording: for tests on other implementations of WebGPU.
            #[doc(hidden)]
            pub fn dispatches(&self) -> Vec<DispatchDescription> {
                self.prepared.dispatches()
            }
        }

        impl crate::backward::sealed::Forward for $name {
            fn saved(&self) -> &Saved {
                &self.saved
            }
        }
    };
}

step! {
    /// A prepared training step, to be recorded any number of times: each reads its input anew and, as prepared, moves
    /// the running statistics.
    TrainingStep
}

step! {
    /// A prepared evaluation, to be recorded any number of times: each reads its input, the layer's running statistics,
    /// weight and bias anew.
    EvaluationStep
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
    ) -> Result<TrainingStep, PrepareError> {
        let Training { input, output, statistics, update_running, plan } = training;
        let update = update_running && self.descriptor.track_running_stats;
        let (prepared, saved) = self.prepare_forward(shape, input, output, statistics, update, plan)?;
        Ok(TrainingStep { prepared, saved })
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
    ) -> Result<EvaluationStep, PrepareError> {
        let Evaluation { input, output, plan } = evaluation;
        let statistics = match self.descriptor.track_running_stats {
            true => Statistics::Running,
            false => Statistics::Batch,
        };
        let (prepared, saved) = self.prepare_forward(shape, input, output, statistics, false, plan)?;
        Ok(EvaluationStep { prepared, saved })
    }

    fn prepare_forward(
        &self,
        shape: Shape,
        input: wgpu::BufferBinding<'_>,
        output: wgpu::BufferBinding<'_>,
        statistics: Statistics,
        update: bool,
        request: PlanRequest,
    ) -> Result<(Prepared, Saved), PrepareError> {
        shape.validate(self.features())?;
        if statistics == Statistics::Running && !self.descriptor.track_running_stats {
            return Err(PrepareError::NotTracked);
        }
        let needs_batch = statistics == Statistics::Batch || update;
        if needs_batch && shape.count() == 1 {
            return Err(PrepareError::OneValuePerFeature { given: 1, shape });
        }
        let input = self.bound(Tensor::Input, &input, shape.bytes())?;
        let output = self.bound(Tensor::Output, &output, shape.bytes())?;
        let tensors = match shape.count() {
            0 => Tensors::Separate,
            _ => arrangement(&[&output], &[&input], Some(&input))?,
        };
        let work = if needs_batch { Work::Training } else { Work::Evaluation };
        let plan = Plan::new(self.context.machine(), work, shape, request)?;
        let (path, first, second) = (plan.path(), plan.first, plan.second);

        let params = Params {
            update_running: update.into(),
            use_running: (statistics == Statistics::Running).into(),
            ..Params::new(&self.descriptor, self.stride, shape)
        };
        let mut work = Preparation::new(self, plan, shape, params);
        let record = work.scratch(4);
        let read = (slot::INPUT, input.binding());
        let write = (slot::OUTPUT, output.binding());
        let state = (slot::STATE, self.state.as_entire_buffer_binding());
        let batches = (slot::BATCHES, self.batches.as_entire_buffer_binding());
        let saved = (slot::RECORD, record.as_entire_buffer_binding());
        // In place, the output is all there is to bind.
        let both = || match tensors {
            Tensors::InPlace => vec![write.clone()],
            _ => vec![read.clone(), write.clone()],
        };
        match path {
            Path::Direct => {
                let bindings = [both(), vec![state, saved]].concat();
                work.over_tensor(Kernel::Evaluate, &first, tensors, &bindings)?;
            }
            Path::Resident | Path::Held => {
                let kernel = if path == Path::Held { Kernel::Held } else { Kernel::Resident };
                let bindings = [both(), vec![state, batches, saved]].concat();
                work.over_tensor(kernel, &first, tensors, &bindings)?;
            }
            Path::Split => {
                let partials = work.partials();
                let partials = (slot::PARTIALS, partials.as_entire_buffer_binding());
                work.over_tensor(Kernel::Stats, &first, tensors, &[read.clone(), partials.clone()])?;
                work.over_features(Kernel::Finalize, &[state.clone(), batches, saved.clone(), partials])?;
                let bindings = [both(), vec![state, saved]].concat();
                work.over_tensor(Kernel::Normalize, &second, tensors, &bindings)?;
            }
            Path::Empty if update => {
                let partials = work.partials();
                let partials = (slot::PARTIALS, partials.as_entire_buffer_binding());
                work.over_features(Kernel::Finalize, &[state, batches, saved, partials])?;
            }
            Path::Reduce | Path::Empty => {}
        }
        let prepared = work.finish();
        let overwritten = (tensors == Tensors::InPlace).then_some(output);
        Ok((prepared, Saved { record, shape, statistics, layer: self.state.clone(), overwritten }))
    }
}
