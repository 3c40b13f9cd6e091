//! How an operation is done on a device: which kernels, on how many workgroups, at what cost in memory. Decided before
//! anything is allocated.

mod build;
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
pub(crate) use frame::packets;
pub(crate) use grid::{AHEAD, Grid, HELD};
pub(crate) use op::Kernel;
pub use op::{Op, Path, View};
pub use profile::DeviceProfile;
#[doc(hidden)]
pub use registers::Holding;
pub use request::{ParsePlanError, PlanRequest};
#[cfg(test)]
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
use candidates::Candidate;

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
