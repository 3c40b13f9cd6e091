//! How an operation is done on a device: which kernels, on how many workgroups, at what cost in memory. Decided before
//! anything is allocated.

mod candidates;
mod cost;
mod display;
mod epilogue;
mod error;
mod frame;
mod grid;
mod op;
mod pieces;
mod profile;
mod registers;
mod request;
mod stage;
#[cfg(test)]
mod tests;
mod tuning;
mod wisdom;
mod work;

use std::time::Duration;

pub use cost::{Costs, GpuCosts, SoftwareCosts};
pub use epilogue::{
    Activation, ActivationError, CustomActivation, Epilogue, PreActivation, ResidualGradient,
};
pub use error::PlanError;
pub(crate) use frame::{AHEAD, packets};
pub(crate) use grid::{Grid, HELD};
pub(crate) use op::Kernel;
pub use op::{Op, Path, View};
pub use profile::DeviceProfile;
#[doc(hidden)]
pub use registers::Holding;
pub use request::{ParsePlanError, PlanRequest};
pub(crate) use stage::storage_buffers;
pub(crate) use stage::{
    MEANS_VECTORS, MOMENTS_VECTORS, SAVED_VECTORS, SUMS_VECTORS, Stage, mask_words, vector_stride,
};
pub(crate) use tuning::Search;
pub(crate) use wisdom::Key;
pub use wisdom::{ParseWisdomError, Wisdom, WisdomEntry};
pub(crate) use work::Stored;
pub use work::{MaskKind, Work};

use crate::tensor::{Shape, StorageType, Tensor};
use candidates::{Candidate, Ways};
use pieces::{Piece, pieces};
use stage::{UNWANTED_VECTORS, kernels};

/// The most splits: merging them takes one invocation at most that many turns of a loop (see `MAX_ITERATIONS` of frame.rs).
const MAX_SPLITS: u32 = 60_000;

/// How a step will be done, and what it costs. Print it.
///
/// It is decided from the device's profile, the operation and the shape alone; the same three and the same
/// [`PlanRequest`] give the same plan. A tensor that is larger than a binding may be is cut along its batch into pieces,
/// and so is one that the caller gives in several ranges ([`TensorBinding`](crate::TensorBinding)): each stage then has
/// a dispatch for each piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    work: Work,
    shape: Shape,
    /// The way of the first piece; `None` on the empty path.
    chosen: Option<Candidate>,
    pieces: usize,
    stages: Vec<Stage>,
    scratch_vectors: u64,
    partial_vectors: u64,
    predicted: Duration,
    /// Of the device: see [`Stored`].
    half_access: bool,
    /// Packets that its kernels load before they use the first: on a GPU several, which wait for memory together. A software
    /// adapter waits for nothing, and compiles longer.
    ahead: u32,
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
        Self::with_ends(profile, work.into(), shape, &[], request)
    }

    /// The same for tensors in several ranges, which end before these rows of the view.
    pub(crate) fn with_ends(
        profile: &DeviceProfile,
        work: Work,
        shape: Shape,
        ends: &[u64],
        request: PlanRequest,
    ) -> Result<Self, PlanError> {
        work.validate()?;
        let empty = shape.count() == 0 || !(work.op.reduces() || work.applies());
        let batches = if empty { vec![Vec::new()] } else { pieces(profile, &work, shape, ends)? };
        let pieces = batches.iter().map(Vec::len).sum();
        let most = batches.iter().map(Vec::len).max().unwrap_or(0);
        let mut ways = Ways::new(profile, work, shape, request, most)?;
        let mut plan = Self {
            work,
            shape,
            chosen: None,
            pieces,
            stages: Vec::new(),
            scratch_vectors: 0,
            partial_vectors: 0,
            predicted: Duration::ZERO,
            half_access: profile.half_access,
            ahead: if profile.simd().is_some() { 1 } else { AHEAD },
        };
        for (batch, pieces) in batches.iter().enumerate() {
            let pieces = ways.of(pieces)?;
            plan.chosen = plan.chosen.or(pieces.first().map(|(_, way)| *way));
            if batch == 0 {
                plan.push_mask(profile)?;
            }
            plan.push_batch(profile, batch as u32, &pieces)?;
        }
        plan.count_scratch(profile)?;
        Ok(plan)
    }

    /// The stage that makes a mask of lengths, where values are read.
    fn push_mask(&mut self, profile: &DeviceProfile) -> Result<(), PlanError> {
        if self.work.mask.is_none() || self.chosen.is_none() {
            return Ok(());
        }
        // Packets and bits are counted in 32 bits.
        let (required, given) = (self.shape.count(), u32::MAX.into());
        if required > given {
            return Err(PlanError::DeviceLimit {
                limit: "values of a feature under a mask",
                required,
                given,
            });
        }
        match self.work.mask {
            Some(MaskKind::Lengths) => self.push(profile, Stage::mask_of_lengths(profile, self.shape)),
            _ => Ok(()),
        }
    }

    /// The stages of a virtual batch, or of all.
    fn push_batch(
        &mut self,
        profile: &DeviceProfile,
        batch: u32,
        pieces: &[(Piece, Candidate)],
    ) -> Result<(), PlanError> {
        let op = self.work.op;
        let partials = pieces.iter().filter(|(_, way)| way.path.leaves_partials());
        let splits: u64 = partials.map(|(_, way)| u64::from(way.first.splits)).sum();
        let splits = splits + u64::from(op.records());
        if splits > MAX_SPLITS.into() {
            return Err(PlanError::request("at most 60,000 splits", splits));
        }
        let splits = splits as u32;
        for &kernel in kernels(op, self.path()) {
            if kernel.merges() {
                let grid = candidates::merge(profile, self.shape.features(), splits);
                self.push(profile, Stage::new(kernel, grid, Piece { first: 0, rows: 0, batch }, 0))?;
                continue;
            }
            let mut first_split = 0;
            let mut stages = Vec::new();
            for (piece, way) in pieces {
                let grid = if kernel.applies_last() { way.second } else { way.first };
                stages.push(Stage::new(kernel, grid, *piece, first_split));
                // What leaves no partial results may have any number of splits.
                first_split += if way.path.leaves_partials() { way.first.splits } else { 0 };
            }
            if kernel.applies_last() {
                // What was reduced last is the likeliest to be in a cache still.
                stages.reverse();
            }
            stages.into_iter().try_for_each(|stage| self.push(profile, stage))?;
        }
        let nanoseconds: f64 = pieces.iter().map(|(_, way)| way.nanoseconds).sum();
        self.predicted += Duration::from_nanos(nanoseconds as u64);
        let own = splits - op.records();
        self.partial_vectors = self.partial_vectors.max(u64::from(own) * op.partial_vectors());
        Ok(())
    }

    fn push(&mut self, profile: &DeviceProfile, stage: Stage) -> Result<(), PlanError> {
        let (required, given) = (storage_buffers(stage.kernel, &self.work), profile.max_storage_buffers);
        if required > given {
            return Err(PlanError::StorageBuffers { required, given });
        }
        let workgroups = profile.fold(stage.grid.groups)?;
        self.stages.push(Stage { workgroups, ..stage });
        Ok(())
    }

    fn count_scratch(&mut self, profile: &DeviceProfile) -> Result<(), PlanError> {
        let partials = self.partial_vectors.max(1);
        self.scratch_vectors = match self.work.op {
            Op::Backward { reduce: true, .. } => partials + MEANS_VECTORS + UNWANTED_VECTORS,
            Op::FinalizeGradients { .. } => UNWANTED_VECTORS,
            Op::Finalize { .. } => 0,
            _ if self.stages.iter().any(|stage| stage.kernel.merges()) => partials,
            _ => 0,
        };
        let (required, given) = (self.scratch_bytes_of(self.scratch_vectors), profile.max_binding);
        match required > given {
            true => Err(PlanError::DeviceLimit { limit: "max_storage_buffer_binding_size", required, given }),
            false => Ok(()),
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
        if self.path() == Path::Empty { Vec::new() } else { self.work.kept() }
    }

    /// The tensor's shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The way through the kernels.
    pub fn path(&self) -> Path {
        self.chosen.map_or(Path::Empty, |way| way.path)
    }

    /// What the tensor is cut into, each of which is bound by itself: 1 for most; one at least for each virtual batch.
    pub fn pieces(&self) -> usize {
        self.pieces
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
        let saved = if self.work.op.saves() { SAVED_VECTORS * u64::from(self.batches()) } else { 0 };
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
        let work = self.work;
        let applies = work.applied_alone() + work.written();
        let passes = match self.path() {
            Path::Empty => 0,
            Path::Split => work.reduced() + work.applied() + applies,
            Path::Reduce => work.reduced(),
            Path::Elementwise | Path::Cached | Path::Persistent => work.applied() + applies,
        };
        work.bytes(self.shape).saturating_mul(passes.into())
    }

    /// How long a device of this class takes, by the model that chose the plan: a guide, made of constants that were
    /// measured on lavapipe (Mesa 22.3.6, 8 lanes, 2.7 GHz) and are assumptions for GPUs.
    pub fn predicted(&self) -> Duration {
        self.predicted
    }

    /// The request that leads to this plan again, whatever would be chosen by default. As text, it keeps a plan for later.
    pub fn request(&self) -> PlanRequest {
        self.chosen.map_or_else(PlanRequest::default, |way| way.request())
    }

    /// How its kernels get at tensors. Two-byte accesses are of float16 alone, and only where a packet is one value.
    pub(crate) fn stored(&self) -> Stored {
        let storage = self.work.storage;
        let half_access = self.half_access && storage == StorageType::Float16 && self.packet() == 1;
        Stored { storage, half_access }
    }

    /// Packets that its kernels load before they use the first.
    pub(crate) fn ahead(&self) -> u32 {
        self.ahead
    }

    pub(crate) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Vectors of C values that the step uses of the shared scratch, and how many of them are partial moments or sums.
    pub(crate) fn scratch_vectors(&self) -> (u64, u64) {
        (self.scratch_vectors, self.partial_vectors.max(1))
    }

    /// Virtual batches, each with saved statistics of its own; 1 without.
    pub(crate) fn batches(&self) -> u32 {
        self.stages.last().map_or(1, |stage| stage.piece.batch + 1)
    }

    /// The most splits that a merging dispatch finds.
    #[cfg(test)]
    pub(crate) fn splits(&self) -> u32 {
        (self.partial_vectors / self.work.op.partial_vectors()) as u32
    }

    fn first(&self) -> Option<&Grid> {
        self.chosen.as_ref().map(|way| &way.first)
    }

    fn scratch_bytes_of(&self, vectors: u64) -> u64 {
        vectors * vector_stride(self.shape.features()) * 4
    }
}
