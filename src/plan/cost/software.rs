//! The model of a driver that runs on the CPU.

use super::super::View;
use super::super::grid::Grid;
use super::Traffic;

/// A driver that runs invocations as SIMD vectors of the CPU, one workgroup after another on each core, and loads and
/// stores lane by lane. Times are nanoseconds of one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftwareCosts {
    /// Lanes of a SIMD vector.
    pub simd: u32,
    /// Cores that share the workgroups. A constant by default, so that plans, and the bits they give, are the same on
    /// machines that differ in the number of cores.
    pub threads: u32,
    /// Of a dispatch.
    pub dispatch: f64,
    /// Of each SIMD vector of a workgroup.
    pub vector: f64,
    /// Of each statistic of a vector that is made by walking through a slice.
    pub made: f64,
    /// Of each pair of a vector's statistics: what finishes one of them looks at all to find it.
    pub found: f64,
    /// Of each float32 of a vector's statistics to be used.
    pub used: f64,
    /// Workgroups by which one core ends later than another, beyond what their number explains.
    pub late: f64,
    /// Of a turn of a loop over planes.
    pub turn: f64,
    /// Of a turn of a lane in a loop that reduces rows.
    pub reducing_turn: f64,
    /// Of an access of a lane to a tensor.
    pub access: f64,
    /// Of each float32 that is read.
    pub read: f64,
    /// Of each float32 that is added up.
    pub reduce: f64,
    /// Of each float32 that is written.
    pub write: f64,
    /// Of each float32 of a packet of more than four, for each tensor that a turn reads or writes: registers do not
    /// hold such packets.
    pub wide: f64,
    /// Of each float32 that is read where lanes share a feature: they wait for each other at the ends of planes.
    pub shared: f64,
    /// Of each float32 for each doubling of the strips that a row is read in.
    pub stride: f64,
    /// The same for each doubling of the rows beyond 32 that are read before the next strip is.
    pub long_stride: f64,
    /// A share of both where the same core reads the strips.
    pub same_core: f64,
    /// Of each float32 that a dispatch of its own reads again: a core's cache holds it no more.
    pub far: f64,
    /// Of each float32 that is read again after more rows than stay in a cache, whose sets they fight for.
    pub miss: f64,
    /// Rows that stay in a cache.
    pub rows_in_cache: u64,
    /// The most float32 of a tensor, or of two in backward, that an invocation of the persistent path holds by default:
    /// drivers unroll the loops over them, and some compile what comes of it for seconds.
    pub most_held: u32,
    /// The most float32 of a packet along rows by default, where features are reduced, beside a load of 16 bytes: each of
    /// them has statistics of its own, which some drivers compile for seconds.
    pub most_reduced: u32,
}

impl SoftwareCosts {
    /// Mesa's lavapipe, and what is like it: fitted to measurements on Mesa 22.3.6 (8 lanes, 2.7 GHz). Only what
    /// [`LANE_BY_LANE`](Self::LANE_BY_LANE) has otherwise is fitted to plans along rows on Mesa 25.0.7 and SwiftShader.
    pub const LAVAPIPE: Self = Self {
        simd: 8,
        threads: 4,
        dispatch: 20_000.0,
        vector: 200.0,
        made: 120.0,
        found: 4.0,
        used: 140.0,
        late: 0.25,
        turn: 3.0,
        reducing_turn: 2.0,
        access: 0.375,
        read: 0.6,
        reduce: 0.1,
        write: 0.5,
        wide: 0.2,
        shared: 0.03,
        stride: 0.06,
        long_stride: 0.0,
        same_core: 0.05,
        far: 0.4,
        miss: 0.0,
        rows_in_cache: 256,
        most_held: 32,
        most_reduced: 4,
    };

    /// Of lavapipe up to Mesa 22.3, which loads lane by lane: what does not fit registers costs nothing beside that.
    pub const LANE_BY_LANE: Self = Self {
        used: 50.0,
        wide: 0.0,
        stride: 0.05,
        long_stride: 0.033,
        same_core: 0.6,
        far: 0.0,
        miss: 0.6,
        most_held: u32::MAX,
        most_reduced: 16,
        ..Self::LAVAPIPE
    };

    pub(super) fn of_dispatch(&self, grid: &Grid, traffic: Traffic) -> f64 {
        let Traffic { reduced, applied, again, applied_alone, written } = traffic;
        let statistics = match grid.view {
            View::Planes => 1.0,
            View::Rows => f64::from(grid.packet),
        };
        let turns = grid.loads() as f64;
        let mut vector = self.vector;
        if reduced > 0 {
            let pass = self.of_pass(grid, reduced, 0, self.reduce);
            vector += self.found * statistics * statistics + turns * pass;
            if grid.held == 0 {
                // The first four are read twice.
                vector += self.made * statistics + turns.min(4.0) * pass;
            }
        }
        if written > 0 {
            let rows = grid.view == View::Rows && grid.loads() > self.rows_in_cache;
            let of_each = match (again, reduced) {
                (true, 0) => self.far,
                (true, _) if rows => self.miss,
                _ => 0.0,
            };
            vector += self.used * statistics
                + turns * self.of_pass(grid, applied + applied_alone, written, of_each);
        }
        let vectors = f64::from(grid.workgroup.div_ceil(self.simd));
        let rounds = f64::from(grid.groups.div_ceil(self.threads)) + self.late;
        self.dispatch + rounds * vectors * vector
    }

    /// Of a turn of a SIMD vector's loop that reads and writes packets of some tensors, and does something of each value.
    fn of_pass(&self, grid: &Grid, reads: u32, writes: u32, of_each: f64) -> f64 {
        let turn = match (grid.view, writes) {
            (View::Planes, _) => self.turn,
            // What is held is reduced without a loop.
            (View::Rows, 0) if grid.held == 0 => self.reducing_turn * f64::from(self.simd),
            (View::Rows, _) => 0.0,
        };
        let stride = match grid.view {
            View::Planes => 0.0,
            View::Rows => {
                let rows = (grid.loads() as f64 / 32.0).max(1.0).log2();
                let strips = f64::from(grid.tiles()).log2()
                    + self.same_core * f64::from(grid.tile.div_ceil(self.simd)).log2();
                strips * (self.stride + self.long_stride * rows)
            }
        };
        let shared = if grid.view == View::Planes && grid.tile < self.simd { self.shared } else { 0.0 };
        let (reads, writes) = (f64::from(reads), f64::from(writes));
        let wide = if grid.packet > 4 { self.wide * (reads + writes) } else { 0.0 };
        let each = of_each + stride + wide + (self.read + shared) * reads + self.write * writes;
        let lane = self.access * (reads + writes) + f64::from(grid.packet) * each;
        turn + f64::from(self.simd) * lane
    }
}
