//! All ways to do an operation, and what the device's cost model says of each.

use super::cost::Traffic;
use super::frame::Frame;
use super::grid::Grid;
use super::stage::{kernels, storage_buffers};
use super::{DeviceProfile, Path, PlanError, PlanRequest, View, Work};
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
        None => candidate.path != Path::Persistent || holds(profile, &candidate.first),
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

/// Whether the persistent path may be chosen by default. On a software adapter registers are memory at a barrier, too; and
/// lavapipe compiles loops for seconds that are unrolled for more than this.
fn holds(profile: &DeviceProfile, grid: &Grid) -> bool {
    profile.simd().is_none() || (grid.exclusive() && grid.held * grid.packet <= 128)
}

/// All ways through the kernels, each with the workgroups that are best for it.
fn all(
    profile: &DeviceProfile,
    work: Work,
    shape: Shape,
    request: PlanRequest,
) -> Result<Vec<Candidate>, PlanError> {
    let frames = Frame::all(profile, work, shape, request)?;
    let (costs, bytes, of_value) = (profile.costs, work.bytes(shape), work.storage.bytes());
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
        (false, _) => grids(&frames).into_iter().map(alone(Path::Elementwise, apply)).collect(),
        (true, false) => cheapest(&grids(&frames), reduced)
            .map(|(first, nanoseconds)| Candidate { path: Path::Reduce, first, second: first, nanoseconds })
            .into_iter()
            .collect(),
        (true, true) => {
            let again = Traffic { again: true, ..apply };
            let second = grids(&Frame::all(profile, work, shape, request.for_apply())?);
            let split = cheapest(&grids(&frames), reduced).zip(cheapest(&second, |grid| cost(grid, again)));
            let split = split.map(|(first, second)| Candidate {
                path: Path::Split,
                first: first.0,
                second: second.0,
                nanoseconds: first.1 + second.1,
            });
            let both = Traffic { reduced: work.reduced(), ..again };
            let held = Traffic { applied: 0, again: false, ..both };
            let cached = frames.iter().filter_map(Frame::cached).map(alone(Path::Cached, both));
            let persistent = frames.iter().filter_map(Frame::persistent).map(alone(Path::Persistent, held));
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
