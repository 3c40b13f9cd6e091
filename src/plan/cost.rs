//! What a dispatch takes on a class of devices: a small model to choose plans by. Its constants are measured where the
//! comment says so; `cargo bench` prints what it predicts beside what it measures.

use super::View;
use super::grid::Grid;

/// How often a dispatch goes over the values of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Traffic {
    /// Tensors read to be summed up.
    pub reduced: u32,
    /// Tensors read to make another of them.
    pub applied: u32,
    /// Whether these have just been read, and may come from a cache.
    pub again: bool,
    /// Tensors read beside these, which have not just been read.
    pub applied_alone: u32,
    /// Tensors written.
    pub written: u32,
}

/// The model of a class of devices.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Costs {
    /// A driver that runs on the CPU.
    Software(SoftwareCosts),
    /// A GPU.
    Gpu(GpuCosts),
}

impl Costs {
    /// Nanoseconds of a dispatch over a tensor of `bytes` bytes, so many of each value.
    pub(crate) fn dispatch(&self, grid: &Grid, traffic: Traffic, bytes: u64, of_value: u64) -> f64 {
        match self {
            Costs::Software(software) => software.of_dispatch(grid, traffic),
            Costs::Gpu(gpu) => gpu.of_dispatch(grid, traffic, bytes as f64, of_value as f64),
        }
    }

    /// Nanoseconds of a dispatch that merges splits.
    pub(crate) fn merge(&self, grid: &Grid) -> f64 {
        match self {
            Costs::Software(software) => {
                software.of_dispatch(grid, Traffic { reduced: 3, ..Default::default() })
            }
            Costs::Gpu(gpu) => gpu.dispatch + grid.loads() as f64 * gpu.latency,
        }
    }

    /// Numbers of workgroups between which the best is looked for.
    pub(crate) fn groups(&self) -> Vec<u32> {
        match self {
            Costs::Software(SoftwareCosts { threads, .. }) => (0..12).map(|k| threads << k).collect(),
            Costs::Gpu(_) => (6..14).map(|k| 1 << k).collect(),
        }
    }
}

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
    /// Of each float32 of a packet of more than four, for each tensor but the first that a turn reads or writes: registers
    /// hold no two such packets.
    pub wide: f64,
    /// Of each float32 that is read where lanes share a feature: they wait for each other at the ends of planes.
    pub shared: f64,
    /// Of each float32 for each doubling of the strips that a row is read in.
    pub stride: f64,
    /// The same for each doubling of the rows beyond 32 that are read before the next strip is.
    pub long_stride: f64,
    /// A share of both where the same core reads the strips.
    pub same_core: f64,
    /// Of each float32 that is read again after more rows than stay in a cache, whose sets they fight for.
    pub miss: f64,
    /// Rows that stay in a cache.
    pub rows_in_cache: u64,
}

impl SoftwareCosts {
    /// Mesa's lavapipe, and what is like it: fitted to measurements on Mesa 22.3.6 (8 lanes, 2.7 GHz), but `wide`
    /// and `miss` on Mesa 25.0.7 and SwiftShader.
    pub const LAVAPIPE: Self = Self {
        simd: 8,
        threads: 4,
        dispatch: 20_000.0,
        vector: 200.0,
        made: 120.0,
        found: 4.0,
        used: 50.0,
        late: 0.25,
        turn: 3.0,
        reducing_turn: 2.0,
        access: 0.375,
        read: 0.6,
        reduce: 0.1,
        write: 0.5,
        wide: 0.7,
        shared: 0.03,
        stride: 0.05,
        long_stride: 0.033,
        same_core: 0.6,
        miss: 0.2,
        rows_in_cache: 256,
    };

    /// Of lavapipe up to Mesa 22.3, which loads lane by lane: what does not fit registers costs nothing beside that.
    pub const LANE_BY_LANE: Self = Self { wide: 0.0, miss: 0.6, ..Self::LAVAPIPE };

    fn of_dispatch(&self, grid: &Grid, traffic: Traffic) -> f64 {
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
            let of_each = if again && reduced > 0 && rows { self.miss } else { 0.0 };
            vector += self.used * statistics
                + turns * self.of_pass(grid, applied + applied_alone, written, of_each);
        }
        let vectors = f64::from(grid.workgroup.div_ceil(self.simd));
        let rounds = f64::from(grid.groups.div_ceil(self.threads)) + self.late;
        self.dispatch + rounds * vectors * vector
    }

    /// Of a turn of a SIMD vector's loop that reads and writes packets of some tensors, and does something of each value.
    fn of_pass(&self, grid: &Grid, reads: u32, writes: u32, of_each: f64) -> f64 {
        let (turn, of_lane) = match (grid.view, writes) {
            (View::Planes, _) => (self.turn, 0.0),
            (View::Rows, 0) => (0.0, self.reducing_turn),
            (View::Rows, _) => (0.0, 0.0),
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
        let wide = if grid.packet > 4 { self.wide * (reads + writes - 1.0) } else { 0.0 };
        let each = of_each + stride + wide + (self.read + shared) * reads + self.write * writes;
        let lane = of_lane + self.access * (reads + writes) + f64::from(grid.packet) * each;
        turn + f64::from(self.simd) * lane
    }
}

/// A GPU: a memory and a cache of some bytes a nanosecond, once enough invocations ask them for something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GpuCosts {
    /// Nanoseconds of a dispatch that waits for another.
    pub dispatch: f64,
    /// Nanoseconds that each workgroup adds.
    pub group: f64,
    /// Bytes a nanosecond of memory.
    pub memory: f64,
    /// Bytes a nanosecond of the last cache.
    pub cache: f64,
    /// Bytes that this cache keeps.
    pub cached: f64,
    /// Nanoseconds of a load.
    pub latency: f64,
    /// Invocations that run at the same time.
    pub invocations: f64,
}

impl GpuCosts {
    /// A fast discrete card. Assumed, from data sheets and published measurements.
    pub const DISCRETE: Self = Self {
        dispatch: 3000.0,
        group: 1.0,
        memory: 1500.0,
        cache: 4000.0,
        cached: 32e6,
        latency: 700.0,
        invocations: 150_000.0,
    };
    /// A GPU of Apple's M series, by Apple's technical specifications of the M2 and M3: 100 GB/s of memory, 8 MB of a
    /// system-level cache, 10 cores of 2,048 invocations or more. Latency and dispatch are assumed.
    pub const APPLE: Self = Self {
        dispatch: 4000.0,
        group: 2.0,
        memory: 100.0,
        cache: 300.0,
        cached: 8e6,
        latency: 600.0,
        invocations: 20_000.0,
    };
    /// A phone's, by Qualcomm's and Arm's product briefs: four channels of LPDDR5X make up to 68 GB/s, of which two thirds
    /// are assumed to reach the GPU; 4 MB of a system-level cache. The rest is assumed.
    pub const PHONE: Self = Self {
        dispatch: 15_000.0,
        group: 10.0,
        memory: 45.0,
        cache: 100.0,
        cached: 4e6,
        latency: 700.0,
        invocations: 6_000.0,
    };
    /// A GPU that shares the CPU's memory, which two channels of DDR5-5600 make 90 GB/s. The rest is assumed.
    pub const INTEGRATED: Self = Self {
        dispatch: 5000.0,
        group: 5.0,
        memory: 80.0,
        cache: 200.0,
        cached: 4e6,
        latency: 500.0,
        invocations: 10_000.0,
    };

    fn of_dispatch(&self, grid: &Grid, traffic: Traffic, bytes: f64, of_value: f64) -> f64 {
        let Traffic { reduced, applied, again, applied_alone, written } = traffic;
        let asked = of_value * f64::from(grid.packet * grid.held.max(1));
        let invocations = f64::from(grid.groups) * f64::from(grid.workgroup);
        let running = invocations.min(self.invocations);
        // Little's law: bytes on their way, against those that keep the memory busy.
        let busy = (running * asked / (self.memory * self.latency)).min(1.0);
        // Between two reads lies what all others that run read meanwhile, or the whole tensor in another dispatch. Then
        // the second begins where the first ended, and finds as much as the cache keeps.
        let between = if reduced > 0 { bytes * running / invocations } else { bytes };
        let hits = if again { (self.cached / between).min(1.0) } else { 0.0 };
        let second = f64::from(applied) * (hits / self.cache + (1.0 - hits) / self.memory);
        let passes = f64::from(reduced + applied_alone + written) / self.memory + second;
        // The last workgroups run while others have ended.
        let tail = grid.loads() as f64 * self.latency / f64::from(4 * grid.held.max(1));
        self.dispatch + f64::from(grid.groups) * self.group + bytes * passes / busy + tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        view: View::Planes,
        packet: 16,
        workgroup: 8,
        tile: 8,
        held: 0,
        splits: 1,
        slice: 6272,
        total: 6272,
        groups: 8,
    };

    #[test]
    fn software_work_is_shared_by_cores() {
        let traffic = Traffic { applied: 1, written: 1, ..Default::default() };
        let time = |threads, groups| {
            let costs = SoftwareCosts { threads, ..SoftwareCosts::LAVAPIPE };
            costs.of_dispatch(&Grid { groups, ..GRID }, traffic) - costs.dispatch
        };
        assert!(time(2, 8) > 3.0 * time(8, 8));
        assert_eq!(time(2, 7), time(2, 8)); // one core waits for the other
    }

    #[test]
    fn a_gpu_needs_many_invocations() {
        let grid = Grid { packet: 4, workgroup: 256, ..GRID };
        let traffic = Traffic { applied: 1, written: 1, ..Default::default() };
        let time = |groups| GpuCosts::DISCRETE.of_dispatch(&Grid { groups, ..grid }, traffic, 1e8, 4.0);
        assert!(time(8) > 10.0 * time(512));
        assert!(time(512) < 2.0 * 2e8 / GpuCosts::DISCRETE.memory + 1e6);
    }
}
