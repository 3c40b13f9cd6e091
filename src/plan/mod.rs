//! How an operation is done on a device: which kernels, on how many workgroups, at what cost in memory. Decided before
//! anything is allocated.

mod candidates;
mod cost;
mod epilogue;
mod error;
mod frame;
mod grid;
mod op;
mod profile;
mod request;
mod stage;
#[cfg(test)]
mod tests;
mod work;

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::time::Duration;

pub use cost::{Costs, GpuCosts, SoftwareCosts};
pub use epilogue::{
    Activation, ActivationError, CustomActivation, Epilogue, PreActivation, ResidualGradient,
};
pub use error::PlanError;
pub(crate) use frame::packets;
pub(crate) use grid::{Grid, HELD};
pub(crate) use op::Kernel;
pub use op::{Op, Path, View};
pub use profile::DeviceProfile;
pub use request::{ParsePlanError, PlanRequest};
#[cfg(test)]
pub(crate) use stage::storage_buffers;
pub(crate) use stage::{MEANS_VECTORS, SAVED_VECTORS, Stage, mask_words, vector_stride};
pub(crate) use work::Stored;
pub use work::{MaskKind, Work};

use crate::tensor::{Shape, StorageType, Tensor};
use candidates::Candidate;
use stage::{UNWANTED_VECTORS, kernels};

/// The most splits: merging them takes one invocation at most that many turns of a loop (see `MAX_ITERATIONS` of frame.rs).
const MAX_SPLITS: u32 = 60_000;

/// How a step will be done, and what it costs. Print it.
///
/// It is decided from the device's profile, the operation and the shape alone; the same three and the same
/// [`PlanRequest`] give the same plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    work: Work,
    shape: Shape,
    path: Path,
    stages: Vec<Stage>,
    scratch_vectors: u64,
    partial_vectors: u64,
    bytes_moved: u64,
    predicted: Duration,
    /// Of the device: see [`Stored`].
    half_access: bool,
}

impl Plan {
    /// Plans work for a device: an [`Op`], or a [`Work`] with more about it. Nothing of the device is used or allocated.
    ///
    /// # Errors
    /// [`PlanError`], where the request is not possible or the device is too small.
    pub fn new(
        profile: &DeviceProfile,
        work: impl Into<Work>,
        shape: Shape,
        request: PlanRequest,
    ) -> Result<Self, PlanError> {
        let work = work.into();
        work.validate()?;
        let op = work.op;
        let empty = shape.count() == 0 || !(op.reduces() || work.applies());
        let candidate = match empty {
            true => None,
            false => Some(candidates::best(profile, work, shape, request)?),
        };
        let path = candidate.map_or(Path::Empty, |candidate| candidate.path);
        let splits = match (path, candidate) {
            (Path::Split | Path::Reduce, Some(candidate)) => candidate.first.splits,
            _ => 0,
        };
        if splits > MAX_SPLITS {
            return Err(PlanError::request("at most 60,000 splits", splits));
        }
        let merge = candidates::merge(profile, shape.features(), splits);
        let stages = kernels(op, path).iter().map(|&kernel| {
            let grid = match (kernel, candidate) {
                (Kernel::Normalize | Kernel::InputGradient, Some(candidate)) => candidate.second,
                (kernel, Some(candidate)) if !kernel.merges() => candidate.first,
                _ => merge,
            };
            Stage::new(profile, kernel, grid)
        });
        let mask = Stage::mask(profile, &work, path, shape);
        let stages = mask.into_iter().chain(stages).collect::<Result<Vec<_>, PlanError>>()?;
        let plan = Self::with_stages(work, shape, candidate, path, stages, splits);
        let plan = Self { half_access: profile.half_access, ..plan };
        let required = plan.scratch_bytes_of(plan.scratch_vectors);
        if required > profile.max_binding {
            let (limit, given) = ("max_storage_buffer_binding_size", profile.max_binding);
            return Err(PlanError::DeviceLimit { limit, required, given });
        }
        Ok(plan)
    }

    fn with_stages(
        work: Work,
        shape: Shape,
        candidate: Option<Candidate>,
        path: Path,
        stages: Vec<Stage>,
        splits: u32,
    ) -> Self {
        let applies = work.applied_alone() + work.written();
        let passes = match path {
            Path::Empty => 0,
            Path::Split => work.reduced() + work.applied() + applies,
            Path::Reduce => work.reduced(),
            Path::Elementwise | Path::Cached | Path::Persistent => work.applied() + applies,
        };
        let partial_vectors = u64::from(splits) * work.op.partial_vectors();
        let scratch_vectors = match work.op {
            Op::Backward { reduce: true, .. } => partial_vectors.max(1) + MEANS_VECTORS + UNWANTED_VECTORS,
            _ if stages.iter().any(|stage| stage.kernel.merges()) => partial_vectors.max(1),
            _ => 0,
        };
        let nanoseconds = candidate.map_or(0.0, |candidate| candidate.nanoseconds);
        Self {
            work,
            shape,
            path,
            stages,
            scratch_vectors,
            partial_vectors,
            bytes_moved: u64::from(passes) * work.bytes(shape),
            predicted: Duration::from_nanos(nanoseconds as u64),
            half_access: false,
        }
    }

    /// What it is for.
    pub fn op(&self) -> Op {
        self.work.op
    }

    /// What it is for, with how tensors are stored and what is fused.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Tensors of the forward step that a backward reads: [`Tensor::Input`], [`Tensor::Residual`] and [`Tensor::Output`], as
    /// they were when the forward step last ran. Nothing for a forward.
    pub fn kept(&self) -> Vec<Tensor> {
        if self.path == Path::Empty { Vec::new() } else { self.work.kept() }
    }

    /// The tensor's shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The way through the kernels.
    pub fn path(&self) -> Path {
        self.path
    }

    /// How workgroups see the tensor; [`View::Rows`] where it is empty.
    pub fn view(&self) -> View {
        self.first().map_or(View::Rows, |grid| grid.view)
    }

    /// Values an invocation loads at a time.
    pub fn packet(&self) -> u32 {
        self.first().map_or(1, |grid| grid.packet)
    }

    /// Invocations of a workgroup.
    pub fn workgroup(&self) -> u32 {
        self.first().map_or(1, |grid| grid.workgroup)
    }

    /// Workgroups of each dispatch, in order.
    pub fn workgroups(&self) -> Vec<u32> {
        self.stages.iter().map(|stage| stage.grid.groups).collect()
    }

    /// Dispatches recorded.
    pub fn dispatches(&self) -> usize {
        self.stages.len()
    }

    /// Bytes of device memory that the step uses beside the tensors: what it saves for its backward, which is the step's
    /// own, and scratch, which all steps of a context share.
    pub fn scratch_bytes(&self) -> u64 {
        let saved = if self.work.op.is_backward() { 0 } else { SAVED_VECTORS };
        self.scratch_bytes_of(saved + self.scratch_vectors) + self.mask_bytes()
    }

    /// Bytes of the mask that is made of lengths, in scratch.
    pub(crate) fn mask_bytes(&self) -> u64 {
        let makes = self.stages.iter().any(|stage| stage.kernel == Kernel::MaskOfLengths);
        if makes { mask_words(self.shape) * 4 } else { 0 }
    }

    /// Bytes that have to go through memory: reads and writes of the tensors, a second read of the cached path not
    /// counted, since a cache serves it at best.
    pub fn bytes_moved(&self) -> u64 {
        self.bytes_moved
    }

    /// How long a device of this class takes, by the model that chose the plan: a guide, made of constants that were
    /// measured on lavapipe (Mesa 22.3.6, 8 lanes, 2.7 GHz) and are assumptions for GPUs.
    pub fn predicted(&self) -> Duration {
        self.predicted
    }

    /// The request that leads to this plan again, whatever would be chosen by default. As text, it keeps a plan for later.
    pub fn request(&self) -> PlanRequest {
        let (Some(first), Some(last), false) = (self.first(), self.stages.last(), self.path == Path::Empty)
        else {
            return PlanRequest::default();
        };
        let mut request = PlanRequest { path: Some(self.path), ..PlanRequest::default() };
        request.view = Some(first.view);
        request.packet = Some(first.packet);
        request.workgroup = Some(first.workgroup);
        request.tile = Some(first.tile);
        request.splits = Some(first.splits);
        request.held = Some(first.held).filter(|&held| held > 0);
        if self.path == Path::Split {
            let Grid { workgroup, tile, splits, .. } = last.grid;
            request.apply_workgroup = Some(workgroup).filter(|&w| w != first.workgroup);
            request.apply_tile = Some(tile).filter(|&t| t != first.tile);
            request.apply_splits = Some(splits).filter(|&s| s != first.splits);
        }
        request
    }

    /// Bytes of one tensor.
    pub(crate) fn tensor_bytes(&self) -> u64 {
        self.work.bytes(self.shape)
    }

    /// How its kernels get at tensors. Two-byte accesses are of float16 alone, and only where a packet is one value.
    pub(crate) fn stored(&self) -> Stored {
        let storage = self.work.storage;
        let half_access = self.half_access && storage == StorageType::Float16 && self.packet() == 1;
        Stored { storage, half_access }
    }

    pub(crate) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Vectors of C values that the step uses of the shared scratch, and how many of them are partial moments or sums.
    pub(crate) fn scratch_vectors(&self) -> (u64, u64) {
        (self.scratch_vectors, self.partial_vectors.max(1))
    }

    /// The splits that the merging dispatch finds.
    pub(crate) fn splits(&self) -> u32 {
        (self.partial_vectors / self.work.op.partial_vectors()) as u32
    }

    /// The first grid over the tensor, or of what merges where there is none.
    fn first(&self) -> Option<&Grid> {
        let of_mask = |stage: &&Stage| stage.kernel == Kernel::MaskOfLengths;
        self.stages.iter().find(|stage| !of_mask(stage)).map(|stage| &stage.grid)
    }

    fn scratch_bytes_of(&self, vectors: u64) -> u64 {
        vectors * vector_stride(self.shape.features()) * 4
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{} of {}: {}", self.work.op.name(), self.shape, self.path)?;
        if let (Some(Grid { view, packet, workgroup, tile, .. }), true) =
            (self.first(), self.path != Path::Empty)
        {
            write!(f, " over {view}, {workgroup} invocations")?;
            if *tile > 1 {
                write!(f, " ({tile} side by side)")?;
            }
            let Stored { storage, half_access } = self.stored();
            match storage.is_half() {
                true => write!(f, " of {packet} {storage} values")?,
                false => write!(f, " of {packet} values")?,
            }
            if storage.is_half() && *packet == 1 {
                f.write_str(if half_access { " by two-byte accesses" } else { " by atomics" })?;
            }
        }
        match self.work.mask {
            Some(MaskKind::Lengths) => write!(f, ", masked by lengths")?,
            Some(MaskKind::Positions) => write!(f, ", masked by positions")?,
            None => {}
        }
        let workgroups: Vec<String> = self.workgroups().iter().map(u32::to_string).collect();
        write!(
            f,
            "; {} dispatch{} of {} workgroups; {} bytes of scratch, {} bytes moved; {:.3} ms predicted",
            workgroups.len(),
            if workgroups.len() == 1 { "" } else { "es" },
            if workgroups.is_empty() { "0".into() } else { workgroups.join(", ") },
            self.scratch_bytes(),
            self.bytes_moved,
            self.predicted.as_secs_f64() * 1e3,
        )?;
        let kept: Vec<String> = self.kept().iter().map(Tensor::to_string).collect();
        if !kept.is_empty() {
            write!(f, "; reads the forward step's {}", kept.join(" and "))?;
        }
        Ok(())
    }
}
