//! All ways to do an operation, and what the device's cost model says of each.

use super::cost::Traffic;
use super::frame::{Frame, packets_of};
use super::grid::Grid;
use super::pieces::Piece;
use super::stage::{kernels, storage_buffers};
use super::{DeviceProfile, MAX_SPLITS, Path, PlanError, PlanRequest, View, Work, vector_stride};
use crate::tensor::Shape;

/// A way to do an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub path: Path,
    /// The dispatch that reduces, or does everything.
    pub first: Grid,
    /// The dispatch that applies, on the split path.
    pub second: Grid,
    pub nanoseconds: f64,
}

impl Candidate {
    /// The request that leads to it.
    pub fn request(&self) -> PlanRequest {
        let Self { path, first, second, .. } = self;
        let mut request = PlanRequest {
            path: Some(*path),
            view: Some(first.view),
            packet: Some(first.packet),
            workgroup: Some(first.workgroup),
            tile: Some(first.tile),
            splits: Some(first.splits),
            held: Some(first.held).filter(|&held| held > 0),
            ..PlanRequest::default()
        };
        if *path == Path::Split {
            request.apply_workgroup = Some(second.workgroup).filter(|&w| w != first.workgroup);
            request.apply_tile = Some(second.tile).filter(|&t| t != first.tile);
            request.apply_splits = Some(second.splits).filter(|&s| s != first.splits);
        }
        request
    }
}

/// Splits that the room of what else stands in the scratch would take.
const SPARE_SPLITS: u64 = 4;

/// The ways of the pieces of a tensor. The first piece's is chosen; the others follow it, so that the request of the first
/// leads to the same plan again.
pub(super) struct Ways<'a> {
    profile: &'a DeviceProfile,
    work: Work,
    shape: Shape,
    request: PlanRequest,
    /// The most splits of a piece, unless others are requested.
    most_splits: u32,
    /// Of each number of rows.
    found: Vec<(u64, Candidate)>,
}

impl<'a> Ways<'a> {
    /// `pieces` is the most of a batch: their partial results have to be merged.
    pub fn new(
        profile: &'a DeviceProfile,
        work: Work,
        shape: Shape,
        request: PlanRequest,
        pieces: usize,
    ) -> Result<Self, PlanError> {
        let path = match (pieces > 1 && work.op.reduces() && work.applies(), request.path) {
            (true, None) => Some(Path::Split),
            (true, Some(path)) if path != Path::Split => {
                return Err(PlanError::request(
                    "the split path, since the tensor is in several pieces",
                    path,
                ));
            }
            (_, path) => path,
        };
        // What is merged must fit a loop, and a binding.
        let bytes = work.op.partial_vectors() * vector_stride(shape.features()) * 4;
        let fit = (profile.max_binding / bytes).saturating_sub(SPARE_SPLITS).min(MAX_SPLITS.into());
        let most_splits = (fit / pieces.max(1) as u64).max(1) as u32;
        let request = PlanRequest { path, ..request };
        Ok(Self { profile, work, shape, request, most_splits, found: Vec::new() })
    }

    pub fn of(&mut self, pieces: &[Piece]) -> Result<Vec<(Piece, Candidate)>, PlanError> {
        pieces.iter().map(|piece| Ok((*piece, self.with_rows(piece.rows)?))).collect()
    }

    fn with_rows(&mut self, rows: u64) -> Result<Candidate, PlanError> {
        if let Some((_, way)) = self.found.iter().find(|(found, _)| *found == rows) {
            return Ok(*way);
        }
        let request = self.found.first().map_or(self.request, |(_, way)| way.request());
        let best = |request| best(self.profile, self.work, self.shape.with_rows(rows), request);
        let mut way = best(request)?;
        if way.first.splits > self.most_splits && way.path.leaves_partials() && request.splits.is_none() {
            way = best(PlanRequest { splits: Some(self.most_splits), ..request })?;
        }
        self.found.push((rows, way));
        Ok(way)
    }
}

/// The best candidate that the request allows.
pub(crate) fn best(
    profile: &DeviceProfile,
    work: Work,
    shape: Shape,
    request: PlanRequest,
) -> Result<Candidate, PlanError> {
    let mut allowed = all(profile, work, shape, request)?;
    allowed.retain(|candidate| match request.path {
        Some(path) => candidate.path == path,
        None => candidate.path != Path::Persistent || holds(profile, &work, &candidate.first),
    });
    let fewest = allowed.iter().map(|candidate| buffers(&work, candidate.path)).min();
    if let Some(required) = fewest.filter(|&fewest| fewest > profile.max_storage_buffers) {
        return Err(PlanError::StorageBuffers { required, given: profile.max_storage_buffers });
    }
    allowed.retain(|candidate| buffers(&work, candidate.path) <= profile.max_storage_buffers);
    let found = allowed.into_iter().min_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
    found.ok_or_else(|| {
        let required = match (work.op.reduces(), work.applies()) {
            (false, _) => "the elementwise path",
            (true, false) => "the reduce path",
            (true, true) => {
                "the split path; the cached one where no feature is too long and splits are 1; the persistent one where \
                 features are small, too"
            }
        };
        let given = request.path.map_or_else(|| request.to_string(), |path| path.to_string());
        PlanError::Request { required, given }
    })
}

/// The most storage buffers that a dispatch of a path binds.
fn buffers(work: &Work, path: Path) -> u32 {
    kernels(work.op, path).iter().map(|&kernel| storage_buffers(kernel, work)).max().unwrap_or(0)
}

/// Whether the persistent path may be chosen by default. On a software adapter registers are memory at a barrier, too.
pub(super) fn holds(profile: &DeviceProfile, work: &Work, grid: &Grid) -> bool {
    let fits = |most| grid.exclusive() && grid.held * grid.packet * work.held() <= most;
    profile.costs.most_held().is_none_or(fits)
}

/// All ways through the kernels, each with the workgroups that are best for it.
fn all(
    profile: &DeviceProfile,
    work: Work,
    shape: Shape,
    request: PlanRequest,
) -> Result<Vec<Candidate>, PlanError> {
    let of_packet = |packet| of_packet(profile, work, shape, request, packet);
    let ways: Result<Vec<_>, _> =
        packets_of(profile, work, shape, request)?.into_iter().map(of_packet).collect();
    Ok(ways?.concat())
}

/// Those of one width of packets, which both dispatches of the split path share.
fn of_packet(
    profile: &DeviceProfile,
    work: Work,
    shape: Shape,
    request: PlanRequest,
    packet: u32,
) -> Result<Vec<Candidate>, PlanError> {
    let frames = |request| Frame::all(profile, work, shape, request, packet);
    let (first, costs, bytes, of_value) =
        (frames(request)?, profile.costs, work.bytes(shape), work.storage.bytes());
    let cost = |grid: &Grid, traffic| costs.dispatch(grid, traffic, bytes, of_value);
    let alone = |path, traffic| {
        move |grid| Candidate { path, first: grid, second: grid, nanoseconds: cost(&grid, traffic) }
    };
    let reduce = Traffic { reduced: work.reduced(), ..Traffic::default() };
    let apply = Traffic {
        applied: work.applied(),
        applied_alone: work.applied_alone(),
        written: work.written(),
        ..Traffic::default()
    };
    let reduced =
        |grid: &Grid| cost(grid, reduce) + costs.merge(&merge(profile, shape.features(), grid.splits));
    let groups = costs.groups();
    let grids = |frames: &[Frame]| frames.iter().flat_map(|frame| frame.split(&groups)).collect::<Vec<_>>();

    Ok(match (work.op.reduces(), work.applies()) {
        (false, _) => grids(&first).into_iter().map(alone(Path::Elementwise, apply)).collect(),
        (true, false) => cheapest(&grids(&first), reduced)
            .map(|(first, nanoseconds)| Candidate { path: Path::Reduce, first, second: first, nanoseconds })
            .into_iter()
            .collect(),
        (true, true) => {
            let again = Traffic { again: true, ..apply };
            let second = grids(&frames(request.for_apply())?);
            let split = cheapest(&grids(&first), reduced).zip(cheapest(&second, |grid| cost(grid, again)));
            let split = split.map(|(first, second)| Candidate {
                path: Path::Split,
                first: first.0,
                second: second.0,
                nanoseconds: first.1 + second.1,
            });
            let both = Traffic { reduced: work.reduced(), ..again };
            let held = Traffic { applied: 0, again: false, ..both };
            let cached = first.iter().filter_map(Frame::cached).map(alone(Path::Cached, both));
            let persistent = first.iter().filter_map(Frame::persistent).map(alone(Path::Persistent, held));
            split.into_iter().chain(cached).chain(persistent).collect()
        }
    })
}

fn cheapest(grids: &[Grid], cost: impl Fn(&Grid) -> f64) -> Option<(Grid, f64)> {
    grids.iter().map(|grid| (*grid, cost(grid))).min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The dispatch that merges the splits of each feature.
pub(crate) fn merge(profile: &DeviceProfile, features: u32, splits: u32) -> Grid {
    let packet = if features.is_multiple_of(4) { 4 } else { 1 };
    let slots = features / packet;
    // 128 bytes side by side; the other invocations share the splits.
    let tile = slots.next_power_of_two().min(profile.simd().unwrap_or(32 / packet));
    let useful = (tile * splits.clamp(1, 256)).next_power_of_two();
    let workgroup = profile.simd().unwrap_or(useful.clamp(64, 256));
    let workgroup = workgroup.min(profile.max_workgroup_of(View::Rows, packet)).max(tile);
    let groups = slots.div_ceil(tile);
    Grid { view: View::Rows, packet, workgroup, tile, held: 0, splits, slice: splits, total: splits, groups }
}

#[cfg(test)]
mod tests {
    use super::super::{Costs, Op, Plan, SoftwareCosts};
    use super::*;

    const TRAINING: Op = Op::Training { update_running: true };
    const BACKWARD: Op = Op::Backward { reduce: true, apply: true };

    fn on_software(costs: SoftwareCosts, op: Op, shape: Shape) -> Plan {
        let profile = DeviceProfile::discrete().with_costs(Costs::Software(costs));
        Plan::new(&profile, op, shape, PlanRequest::default()).unwrap()
    }

    #[test]
    fn few_rows_are_held_in_wide_packets_where_these_compile_fast() {
        for op in [TRAINING, BACKWARD] {
            for shape in [Shape::rows(8, 2048), Shape::rows(16, 4096)] {
                let plan = on_software(SoftwareCosts::LANE_BY_LANE, op, shape);
                assert_eq!((plan.path(), plan.packet()), (Path::Persistent, 16));
            }
            // More rows than an invocation holds.
            let plan = on_software(SoftwareCosts::LANE_BY_LANE, op, Shape::rows(128, 64));
            assert_eq!((plan.path(), plan.packet()), (Path::Cached, 4));
        }
    }

    #[test]
    fn features_are_reduced_in_wide_packets_only_where_these_compile_fast() {
        let plan = |op, shape| on_software(SoftwareCosts::LAVAPIPE, op, shape);
        for features in [16, 64, 512, 2048, 4096, 16_384] {
            for rows in [2, 8, 16, 128, 1024, 16_384] {
                for op in [TRAINING, BACKWARD, Op::Moments] {
                    let plan = plan(op, Shape::rows(rows, features));
                    assert!(plan.packet() <= 4, "{plan}");
                }
            }
        }
        // Nothing is reduced here.
        assert_eq!(plan(Op::Evaluation, Shape::rows(8, 2048)).packet(), 16);
    }
}
