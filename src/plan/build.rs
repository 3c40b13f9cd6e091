//! A plan's stages: the kernels of its path, for each virtual batch and piece.

use std::time::Duration;

use super::candidates::{self, Candidate, Ways};
use super::pieces::{Piece, pieces};
use super::stage::{MEANS_VECTORS, Stage, UNWANTED_VECTORS, kernels, storage_buffers};
use super::{AHEAD, DeviceProfile, MAX_SPLITS, MaskKind, Op, Plan, PlanError, PlanRequest, Work};
use crate::tensor::Shape;

impl Plan {
    /// Plans for tensors in several ranges, which end before these rows of the view.
    pub(crate) fn with_ends(
        profile: &DeviceProfile,
        work: Work,
        shape: Shape,
        ends: &[u64],
        request: PlanRequest,
    ) -> Result<Self, PlanError> {
        work.validate()?;
        if shape.features() == 0 {
            return Err(PlanError::request("a shape of at least 1 feature", 0));
        }
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
}
