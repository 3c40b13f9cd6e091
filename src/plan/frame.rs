//! What is fixed of a grid before the number of workgroups is: the view, the packet, the workgroup and its tile.

use super::grid::{Grid, HELD};
use super::registers::{Holding, REGISTERS};
use super::{DeviceProfile, PlanError, PlanRequest, View, Work};
use crate::tensor::{Shape, StorageType};

/// Mesa 22.3's lavapipe stops an invocation's loops after 65,535 iterations in all, without a word.
const MAX_ITERATIONS: u64 = 65_000;

#[derive(Clone, Copy)]
pub(crate) struct Frame {
    work: Work,
    view: View,
    packet: u32,
    workgroup: u32,
    tile: u32,
    /// Packets of a feature (planes), or rows.
    total: u32,
    /// Features (planes) or packets of a row (rows).
    slots: u32,
    splits: Option<u32>,
    held: Option<u32>,
    /// Whether the persistent path may take a larger workgroup.
    larger: Option<u32>,
}

impl Frame {
    /// Every frame of these packets ([`packets_of`]) there is to choose from, at least one, or which part of the request is
    /// not possible.
    pub fn all(
        profile: &DeviceProfile,
        work: Work,
        shape: Shape,
        request: PlanRequest,
        packet: u32,
    ) -> Result<Vec<Self>, PlanError> {
        let view = view_of(shape, request)?;
        let per_packet = u64::from(packet);
        let (slots, total) = match view {
            View::Planes => (shape.features(), shape.count() / per_packet),
            View::Rows => (shape.features() / packet, shape.count()),
        };
        let max = profile.max_workgroup_of(view, packet);
        let workgroup = match (request.workgroup, profile.simd()) {
            (Some(size), _) if size.is_power_of_two() && size <= max => size,
            (Some(size), _) => {
                return Err(PlanError::request(
                    "a workgroup size that is a power of two and fits the device",
                    size,
                ));
            }
            (None, Some(simd)) => simd.min(max),
            // Not more invocations than there is to load, but full subgroups, and at least 64: one of Apple's compilers
            // is wrong at 32.
            (None, None) => {
                let loads =
                    shape.elements() / per_packet / if view == View::Planes { u64::from(slots) } else { 1 };
                (loads.min(256) as u32).next_power_of_two().clamp(64, 256).min(max)
            }
        };
        if request.splits == Some(0) {
            return Err(PlanError::request("at least 1 split", 0));
        }
        if let Some(held) = request.held.filter(|held| !HELD.contains(held)) {
            return Err(PlanError::request("4, 8 or 16 packets to hold", held));
        }
        let larger = Some(512)
            .filter(|&l| request.workgroup.is_none() && request.tile.is_none() && workgroup < l && l <= max);
        let frame = |(workgroup, tile)| Self {
            work,
            view,
            packet,
            workgroup,
            tile,
            total: total as u32,
            slots,
            splits: request.splits,
            held: request.held,
            larger,
        };
        let tiles = match request.tile {
            Some(tile) if tile.is_power_of_two() && tile <= workgroup => vec![(workgroup, tile)],
            Some(tile) => {
                return Err(PlanError::request(
                    "a tile that is a power of two up to the workgroup size",
                    tile,
                ));
            }
            None => {
                let most = request.workgroup.unwrap_or(max);
                tiles_of(profile, view, packet * work.storage.bytes() as u32, slots, workgroup, most)
            }
        };
        Ok(tiles.into_iter().map(frame).collect())
    }

    /// Invocations that share a slot.
    fn sharers(&self) -> u32 {
        self.workgroup / self.tile
    }

    fn tiles(&self) -> u32 {
        self.slots.div_ceil(self.tile)
    }

    /// The grid with about `splits` splits; rounding can leave fewer.
    fn grid(&self, splits: u32) -> Grid {
        // Whole turns of the workgroup, so that only the last split has idle invocations.
        let slice = self.total.div_ceil(splits).next_multiple_of(self.sharers());
        let splits = self.total.div_ceil(slice);
        let Self { view, packet, workgroup, tile, total, .. } = *self;
        Grid { view, packet, workgroup, tile, held: 0, splits, slice, total, groups: self.tiles() * splits }
    }

    /// The grid of one workgroup per tile, where that is not too much for an invocation.
    pub fn cached(&self) -> Option<Grid> {
        let grid = self.grid(1);
        let whole = self.splits.is_none_or(|splits| splits == 1);
        (whole && self.iterations(&grid) <= MAX_ITERATIONS).then_some(grid)
    }

    /// The grid of the persistent path, if registers have room for a tile.
    pub fn persistent(&self) -> Option<Grid> {
        if self.splits.is_some_and(|splits| splits > 1) {
            return None;
        }
        let workgroups = [Some(self.workgroup), self.larger].into_iter().flatten();
        let held = HELD.into_iter().filter(|&held| self.held.is_none_or(|fixed| fixed == held));
        workgroups.flat_map(|size| held.clone().map(move |held| (size, held))).find_map(
            |(workgroup, held)| {
                let registers = workgroup * self.holding(held).registers();
                let grid = Self { workgroup, ..*self }.grid(1);
                (grid.loads() <= held.into() && registers <= REGISTERS).then_some(Grid { held, ..grid })
            },
        )
    }

    fn holding(&self, held: u32) -> Holding {
        let Self { view, packet, work, .. } = *self;
        Holding {
            view,
            packet,
            held,
            tensors: work.held(),
            masked: work.mask.is_some(),
            residual: work.epilogue.residual,
            storage: work.storage,
        }
    }

    /// Grids of about as many workgroups as each number says, or of as many splits as are requested.
    pub fn split(&self, groups: &[u32]) -> Vec<Grid> {
        // The fewest that keep every invocation within its iterations.
        let turns = u64::from(self.total.div_ceil(self.sharers()));
        let least = (3 * turns).div_ceil(MAX_ITERATIONS) as u32;
        let splits = match self.splits {
            Some(splits) => vec![splits],
            None => groups.iter().map(|groups| groups.div_ceil(self.tiles())).collect(),
        };
        let mut grids: Vec<Grid> =
            splits.into_iter().map(|splits| self.grid(splits.min(self.total).max(least))).collect();
        grids.dedup();
        grids
    }

    /// Iterations of all loops of one invocation.
    pub fn iterations(&self, grid: &Grid) -> u64 {
        let loads = grid.loads();
        match self.work.op {
            op if !op.reduces() => loads,
            // Each loop counts its last check, too: runs, segments and blocks of slice_moments.wgsl add 0.29 turns a load.
            _ => 2 * loads + loads / 3 + 128,
        }
    }
}

fn view_of(shape: Shape, request: PlanRequest) -> Result<View, PlanError> {
    match request.view {
        None if shape.inner() == 1 => Ok(View::Rows),
        None => Ok(View::Planes),
        Some(View::Rows) if shape.inner() != 1 => {
            Err(PlanError::request("planes, since features are not the last axis", View::Rows))
        }
        Some(view) => Ok(view),
    }
}

/// The widths of packets to choose from, the widest first.
pub(crate) fn packets_of(
    profile: &DeviceProfile,
    work: Work,
    shape: Shape,
    request: PlanRequest,
) -> Result<Vec<u32>, PlanError> {
    let view = view_of(shape, request)?;
    let line = match view {
        View::Planes => shape.inner(),
        View::Rows => shape.features().into(),
    };
    let fits = |packet: u32| line % u64::from(packet) == 0;
    let packets = packets(work.storage);
    match request.packet {
        None => {
            // A load of 16 bytes, and along rows what the device reads beside it. Along planes a lane has its cache lines to
            // itself, and more values than registers hold would only be compiled longer.
            let load = 16 / work.storage.bytes() as u32;
            let most = match view {
                View::Rows => profile.costs.widest_row(work.op.reduces()).max(load),
                View::Planes => load,
            };
            let widest =
                |most: u32| packets.iter().rev().copied().find(|&p| p <= most && fits(p)).unwrap_or(1);
            let mut widths = vec![widest(most), widest(load)];
            widths.dedup();
            Ok(widths)
        }
        Some(packet) if packets.contains(&packet) && fits(packet) => Ok(vec![packet]),
        Some(packet) => Err(PlanError::request(
            match work.storage.is_half() {
                true => "a packet of 1, 4, 8 or 16 that divides the plane or row",
                false => "a packet of 1, 4 or 16 that divides the plane or row",
            },
            packet,
        )),
    }
}

/// Values that an invocation may load at a time: 4 are half a load of 16 bytes in 16-bit storage.
pub(crate) fn packets(storage: StorageType) -> &'static [u32] {
    if storage.is_half() { &[1, 4, 8, 16] } else { &[1, 4, 16] }
}

/// Workgroup sizes, each with its tile.
fn tiles_of(
    profile: &DeviceProfile,
    view: View,
    packet_bytes: u32,
    slots: u32,
    workgroup: u32,
    max: u32,
) -> Vec<(u32, u32)> {
    let row = slots.next_power_of_two();
    match (view, profile.simd()) {
        // On a software adapter, each lane may have a feature of its own: no lane waits for another.
        (View::Planes, Some(_)) if slots > 1 && workgroup > 1 => vec![(workgroup, 1), (workgroup, workgroup)],
        (View::Planes, _) => vec![(workgroup, 1)],
        // And several vectors may read a row side by side, one after the other on the same core.
        (View::Rows, Some(_)) => {
            let wider = [2, 4, 8].map(|times| times * workgroup).into_iter().filter(|&w| w <= row.min(max));
            wider.chain([workgroup]).map(|workgroup| (workgroup, row.min(workgroup))).collect()
        }
        // 512 bytes side by side: a subgroup's loads of 16 bytes are whole memory transactions.
        (View::Rows, None) => vec![(workgroup, row.min(512 / packet_bytes).min(workgroup))],
    }
}

#[cfg(test)]
mod tests {
    use super::super::Op;
    use super::*;

    #[test]
    fn splits_reach_little_past_the_end() {
        for total in [u32::MAX - (1 << 24), 4_000_000_007, 1 << 31, 1_000_003] {
            for workgroup in [1, 8, 256, 1024] {
                for splits in [2, 3, 1000, 60_000, total / 2, total - 1] {
                    let request = PlanRequest::new().packet(1).workgroup(workgroup).splits(splits);
                    let profile = DeviceProfile { max_workgroup: 1024, ..DeviceProfile::discrete() };
                    let shape = Shape::rows(total, 1);
                    let frames = Frame::all(&profile, Op::Evaluation.into(), shape, request, 1).unwrap();
                    let grid = frames[0].split(&[])[0];
                    let reach = u64::from(grid.splits) * u64::from(grid.slice) + u64::from(grid.workgroup);
                    assert!(reach < u64::from(total) + (1 << 22), "{total} {workgroup} {splits}: {grid:?}");
                }
            }
        }
    }
}
