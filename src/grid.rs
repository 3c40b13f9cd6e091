//! Workgroups over a tensor.

use crate::error::PrepareError;
use crate::machine::Machine;
use crate::plan::{PlanRequest, View, Work};
use crate::shape::Shape;

/// Loads that an invocation may hold, each a shader of its own.
pub(crate) const HELD: [u32; 3] = [4, 8, 16];

/// Registers of a multiprocessor (32 bits each; GPUs of NVIDIA, AMD and Intel have as many or more), and those that an
/// invocation needs beside the values it holds.
const REGISTERS: u32 = 1 << 16;
const REGISTERS_FOR_THE_REST: u32 = 40;

/// Mesa 22.3's lavapipe stops an invocation's loops after 65,535 iterations in all, without a word.
pub(crate) const MAX_ITERATIONS: u64 = 65_000;

/// Workgroups of one dispatch over the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub view: View,
    /// Values an invocation loads at a time.
    pub width: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
    /// Features (planes) or Values of a row (rows) that a workgroup takes side by side.
    pub columns: u32,
    /// The most loads that an invocation holds, on the held path.
    pub held: u32,
    /// Workgroups per feature or block of features.
    pub chunks: u32,
    /// Loads (planes) or rows (rows) of a chunk.
    pub chunk: u32,
    /// Loads of a feature (planes) or rows (rows) in all.
    pub total: u32,
    /// Workgroups in all.
    pub groups: u32,
}

impl Grid {
    /// No workgroup.
    pub const NONE: Self = Self {
        view: View::Rows,
        width: 1,
        lanes: 1,
        columns: 1,
        held: 0,
        chunks: 0,
        chunk: 0,
        total: 0,
        groups: 0,
    };

    /// Blocks of features (planes) or of a row's Values (rows).
    pub fn blocks(&self) -> u32 {
        (self.groups / self.chunks.max(1)).max(1)
    }

    /// Whether each invocation has its column to itself, so that there is nothing to merge, and no barrier.
    pub fn nobody_shares(&self) -> bool {
        self.columns == self.lanes
    }

    /// What it sets of the overrides in shaders/params.wgsl.
    pub fn constants(&self) -> [(&'static str, f64); 2] {
        [("LANES", self.lanes.into()), ("COLUMNS", self.columns.into())]
    }

    /// Loads of one invocation.
    pub fn loads(&self) -> u64 {
        u64::from(self.chunk).div_ceil((self.lanes / self.columns).into())
    }
}

/// What is fixed of a plan before its path is chosen: the view, the width of loads, the workgroup.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    work: Work,
    view: View,
    width: u32,
    lanes: u32,
    columns: u32,
    /// Loads of a feature (planes), or rows.
    total: u32,
    /// Features (planes) or Values in a row (rows): what workgroups take `columns` of, side by side.
    places: u32,
    chunks: Option<u32>,
    /// Larger workgroups that the held path may take.
    more_lanes: Option<u32>,
}

impl Frame {
    /// Every frame there is to choose from, at least one, or which part of the request is not possible.
    pub fn all(
        machine: &Machine,
        work: Work,
        shape: Shape,
        request: PlanRequest,
    ) -> Result<Vec<Self>, PrepareError> {
        let impossible = |required, given: String| Err(PrepareError::Plan { required, given });
        let view = match request.view {
            None if shape.inner() == 1 => View::Rows,
            None => View::Planes,
            Some(View::Rows) if shape.inner() != 1 => {
                return impossible("planes, since features are not the last axis", "Rows".into());
            }
            Some(view) => view,
        };
        let line = match view {
            View::Planes => shape.inner(),
            View::Rows => shape.features().into(),
        };
        let widest = if machine.simd().is_some() { 16 } else { 4 };
        let width = match request.width {
            None => *[16, 4, 1].iter().find(|&&w| w <= widest && line % u64::from(w) == 0).unwrap_or(&1),
            Some(w) if [1, 4, 16].contains(&w) && line % u64::from(w) == 0 => w,
            Some(w) => {
                return impossible("a width of 1, 4 or 16 that divides the plane or row", w.to_string());
            }
        };
        let max_lanes = machine.max_lanes_of(view, width);
        let places = match view {
            View::Planes => shape.features(),
            View::Rows => shape.features() / width,
        };
        let (total, loads) = match view {
            View::Planes => {
                (shape.outer() * shape.inner() / u64::from(width), shape.count() / u64::from(width))
            }
            View::Rows => (shape.count(), shape.count() * u64::from(places)),
        };
        let lanes = match request.lanes {
            Some(lanes) if lanes.is_power_of_two() && lanes <= max_lanes => lanes,
            Some(lanes) => {
                return impossible("lanes that are a power of two and fit the device", lanes.to_string());
            }
            None => match machine.simd() {
                Some(simd) => simd.min(max_lanes),
                // Not more invocations than there is to load, but full subgroups.
                None => (loads.min(256) as u32).next_power_of_two().clamp(32, 256).min(max_lanes),
            },
        };
        let row = places.next_power_of_two();
        // Invocations of a workgroup, and how many stand side by side.
        let workgroups = match (view, machine.simd()) {
            // On a software adapter, each lane may have a feature of its own: no lane waits for another.
            (View::Planes, Some(_)) if places > 1 && lanes > 1 => vec![(lanes, 1), (lanes, lanes)],
            (View::Planes, _) => vec![(lanes, 1)],
            // And several vectors may read a row side by side, one after the other on the same core.
            (View::Rows, Some(_)) => {
                let wider = [2, 4, 8].map(|times| times * lanes);
                let wider = wider.into_iter().filter(|&l| request.lanes.is_none() && l <= row.min(max_lanes));
                wider.chain([lanes]).map(|lanes| (lanes, row.min(lanes))).collect()
            }
            // 128 bytes side by side make full use of a memory transaction.
            (View::Rows, None) => vec![(lanes, row.min(32 / width).min(lanes))],
        };
        if request.chunks == Some(0) {
            return impossible("at least 1 chunk", "0".into());
        }
        let more_lanes =
            Some(512).filter(|&more| request.lanes.is_none() && lanes < more && more <= max_lanes);
        let (total, chunks) = (total as u32, request.chunks);
        let frame =
            |(lanes, columns)| Self { work, view, width, lanes, columns, total, places, chunks, more_lanes };
        Ok(workgroups.into_iter().map(frame).collect())
    }

    /// Invocations that share a chunk's loads.
    fn walkers(&self) -> u32 {
        self.lanes / self.columns
    }

    fn blocks(&self) -> u32 {
        self.places.div_ceil(self.columns)
    }

    /// So many chunks, or a few less.
    fn grid(&self, chunks: u32) -> Grid {
        // Whole turns of the workgroup, so that only the last chunk has idle invocations.
        let chunk = self.total.div_ceil(chunks).next_multiple_of(self.walkers());
        let chunks = self.total.div_ceil(chunk);
        let Self { view, width, lanes, columns, total, .. } = *self;
        Grid { view, width, lanes, columns, held: 0, chunks, chunk, total, groups: self.blocks() * chunks }
    }

    /// The grid of one workgroup per block, where that is not too much for an invocation.
    pub fn resident(&self) -> Option<Grid> {
        let grid = self.grid(1);
        let whole = self.chunks.is_none_or(|chunks| chunks == 1);
        (whole && self.iterations(&grid) <= MAX_ITERATIONS).then_some(grid)
    }

    /// The grid of the held path, if registers have room for a feature (planes) or block of columns (rows).
    pub fn held(&self) -> Option<Grid> {
        if self.chunks.is_some_and(|chunks| chunks > 1) {
            return None;
        }
        let lanes = [Some(self.lanes), self.more_lanes].into_iter().flatten();
        lanes.flat_map(|lanes| HELD.map(|held| (lanes, held))).find_map(|(lanes, held)| {
            let registers = lanes * (held * self.width * self.work.inputs() + REGISTERS_FOR_THE_REST);
            let grid = Self { lanes, ..*self }.grid(1);
            (grid.loads() <= held.into() && registers <= REGISTERS).then_some(Grid { held, ..grid })
        })
    }

    /// Grids of about so many workgroups each, or of as many chunks as are requested.
    pub fn split(&self, groups: &[u32]) -> Vec<Grid> {
        // The fewest that keep every invocation within its iterations.
        let turns = u64::from(self.total.div_ceil(self.walkers()));
        let least = (3 * turns).div_ceil(MAX_ITERATIONS) as u32;
        let chunks = match self.chunks {
            Some(chunks) => vec![chunks],
            None => groups.iter().map(|groups| groups.div_ceil(self.blocks())).collect(),
        };
        let mut grids: Vec<Grid> =
            chunks.into_iter().map(|chunks| self.grid(chunks.min(self.total).max(least))).collect();
        grids.dedup();
        grids
    }

    /// Iterations of all loops of one invocation.
    pub fn iterations(&self, grid: &Grid) -> u64 {
        let loads = grid.loads();
        match self.work {
            Work::Evaluation => loads,
            // Segments and blocks count too, and the first loads are repeated.
            Work::Training | Work::Backward { .. } => 2 * loads + loads / 8 + 128,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_reach_little_past_the_end() {
        for total in [u32::MAX - (1 << 24), 4_000_000_007, 1 << 31, 1_000_003] {
            for lanes in [1, 8, 256, 1024] {
                for chunks in [2, 3, 1000, 65_000, total / 2, total - 1] {
                    let request = PlanRequest {
                        width: Some(1),
                        lanes: Some(lanes),
                        chunks: Some(chunks),
                        ..Default::default()
                    };
                    let machine = Machine { max_lanes: 1024, ..Machine::GPU };
                    let shape = Shape::rows(total, 1);
                    let frames = Frame::all(&machine, Work::Evaluation, shape, request).unwrap();
                    let grid = frames[0].split(&[])[0];
                    let reach = u64::from(grid.chunks) * u64::from(grid.chunk) + u64::from(grid.lanes);
                    assert!(reach < u64::from(total) + (1 << 22), "{total} {lanes} {chunks}: {grid:?}");
                }
            }
        }
    }
}
