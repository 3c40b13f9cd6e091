//! What a dispatch takes on a class of devices: a small model to choose plans by. Its constants are measured where the
//! comment says so; `cargo bench` prints what it predicts beside what it measures.

use crate::grid::Grid;
use crate::plan::View;

/// How often a dispatch goes over the values of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Traffic {
    /// Tensors read to be summed up.
    pub reduced: u32,
    /// Tensors read to make another of them.
    pub applied: u32,
    /// Whether these have just been read, and may come from a cache.
    pub again: bool,
    /// Tensors written.
    pub written: u32,
}

/// The model of a class of devices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Costs {
    Software(Software),
    Gpu(Gpu),
}

impl Costs {
    /// Nanoseconds of a dispatch over a tensor of so many bytes.
    pub fn dispatch(&self, grid: &Grid, traffic: Traffic, bytes: u64) -> f64 {
        match self {
            Costs::Software(software) => software.dispatch(grid, traffic),
            Costs::Gpu(gpu) => gpu.dispatch(grid, traffic, bytes as f64),
        }
    }

    /// Nanoseconds of a dispatch that merges chunks.
    pub fn merge(&self, grid: &Grid) -> f64 {
        match self {
            Costs::Software(software) => {
                software.dispatch(grid, Traffic { reduced: 3, ..Default::default() })
            }
            Costs::Gpu(gpu) => gpu.dispatch + grid.loads() as f64 * gpu.latency,
        }
    }

    /// Workgroups between which the best number is looked for.
    pub fn groups(&self) -> Vec<u32> {
        match self {
            Costs::Software(Software { threads, .. }) => (0..12).map(|k| threads << k).collect(),
            Costs::Gpu(_) => (6..14).map(|k| 1 << k).collect(),
        }
    }
}

/// A driver that runs invocations as SIMD vectors of the CPU, one workgroup after another on each core, and loads and
/// stores lane by lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Software {
    /// Lanes of a SIMD vector.
    pub simd: u32,
    /// Cores.
    pub threads: u32,
}

impl Software {
    // Nanoseconds of one core, measured on lavapipe (Mesa 22.3.6, 8 lanes, 2.7 GHz).
    const DISPATCH: f64 = 20_000.0;
    /// Of each SIMD vector of a workgroup, and for each float32 of its statistics to be made and to be used.
    const VECTOR: f64 = 400.0;
    const MADE: f64 = 120.0;
    const USED: f64 = 50.0;
    /// Workgroups by which one core ends later than another, beyond what their number explains.
    const LATE: f64 = 0.25;
    /// Of a turn of a loop over planes, and of an access to a tensor.
    const TURN: f64 = 3.0;
    const ACCESS: f64 = 3.0;
    /// Of each float32.
    const READ: f64 = 0.6;
    const REDUCE: f64 = 0.1;
    const WRITE: f64 = 0.5;
    /// Of each float32 that is read where lanes share a feature: they wait for each other at the ends of planes.
    const SHARED: f64 = 0.03;
    /// Of each float32 for each doubling of the strips that a row is read in, and more for each doubling of the rows
    /// beyond 32 that are read before the next strip is; a share of that where the same core reads the strips.
    const STRIDE: f64 = 0.05;
    const LONG_STRIDE: f64 = 0.033;
    const SAME_CORE: f64 = 0.6;
    /// Of each float32 that is read again after more rows than stay in a cache, whose sets they fight for.
    const MISS: f64 = 0.6;
    const ROWS_IN_CACHE: u64 = 256;

    fn dispatch(&self, grid: &Grid, traffic: Traffic) -> f64 {
        let Traffic { reduced, applied, again, written } = traffic;
        let shared = grid.view == View::Planes && grid.columns < self.simd;
        let (turn, statistics, stride) = match grid.view {
            View::Planes => (Self::TURN, 1.0, 0.0),
            View::Rows => {
                let rows = (grid.loads() as f64 / 32.0).max(1.0).log2();
                let strips = f64::from(grid.blocks()).log2()
                    + Self::SAME_CORE * f64::from(grid.columns.div_ceil(self.simd)).log2();
                (0.0, f64::from(grid.width), strips * (Self::STRIDE + Self::LONG_STRIDE * rows))
            }
        };
        let pass = |reads: u32, writes: u32, of_each: f64| {
            let (reads, writes) = (f64::from(reads), f64::from(writes));
            let read = Self::READ + if shared { Self::SHARED } else { 0.0 };
            let each = of_each + stride + read * reads + Self::WRITE * writes;
            turn + Self::ACCESS * (reads + writes) + f64::from(self.simd * grid.width) * each
        };
        let turns = grid.loads() as f64;
        let mut vector = Self::VECTOR;
        if reduced > 0 {
            // The first four are read twice.
            vector += Self::MADE * statistics + (turns + turns.min(4.0)) * pass(reduced, 0, Self::REDUCE);
        }
        if written > 0 {
            let missed =
                again && reduced > 0 && grid.view == View::Rows && grid.loads() > Self::ROWS_IN_CACHE;
            let of_each = if missed { Self::MISS } else { 0.0 };
            vector += Self::USED * statistics + turns * pass(applied, written, of_each);
        }
        let vectors = f64::from(grid.lanes.div_ceil(self.simd));
        let rounds = f64::from(grid.groups.div_ceil(self.threads)) + Self::LATE;
        Self::DISPATCH + rounds * vectors * vector
    }
}

/// A GPU: a memory and a cache of so many bytes a nanosecond, once enough invocations ask them for something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gpu {
    /// Nanoseconds of a dispatch that waits for another.
    dispatch: f64,
    /// Nanoseconds that each workgroup adds.
    group: f64,
    /// Bytes a nanosecond of memory and of the last cache, and the bytes that this cache keeps.
    memory: f64,
    cache: f64,
    cached: f64,
    /// Nanoseconds of a load.
    latency: f64,
    /// Invocations that run at the same time.
    invocations: f64,
}

impl Gpu {
    // Assumed, from data sheets and published measurements: no GPU was at hand.
    pub const DISCRETE: Self = Self {
        dispatch: 3000.0,
        group: 1.0,
        memory: 1500.0,
        cache: 4000.0,
        cached: 32e6,
        latency: 700.0,
        invocations: 150_000.0,
    };
    pub const INTEGRATED: Self = Self {
        dispatch: 5000.0,
        group: 5.0,
        memory: 80.0,
        cache: 200.0,
        cached: 4e6,
        latency: 500.0,
        invocations: 10_000.0,
    };

    fn dispatch(&self, grid: &Grid, traffic: Traffic, bytes: f64) -> f64 {
        let Traffic { reduced, applied, again, written } = traffic;
        let asked = f64::from(grid.width * 4 * grid.held.max(1));
        let invocations = f64::from(grid.groups) * f64::from(grid.lanes);
        let running = invocations.min(self.invocations);
        // Little's law: bytes on their way, against those that keep the memory busy.
        let busy = (running * asked / (self.memory * self.latency)).min(1.0);
        // Between two reads lies what all others that run read meanwhile, or the whole tensor in another dispatch. Then
        // the second begins where the first ended, and finds as much as the cache keeps.
        let between = if reduced > 0 { bytes * running / invocations } else { bytes };
        let hits = if again { (self.cached / between).min(1.0) } else { 0.0 };
        let second = f64::from(applied) * (hits / self.cache + (1.0 - hits) / self.memory);
        let passes = f64::from(reduced + written) / self.memory + second;
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
        width: 16,
        lanes: 8,
        columns: 8,
        held: 0,
        chunks: 1,
        chunk: 6272,
        total: 6272,
        groups: 8,
    };

    #[test]
    fn software_work_is_shared_by_cores() {
        let traffic = Traffic { applied: 1, written: 1, ..Default::default() };
        let time = |threads, groups| {
            let costs = Software { simd: 8, threads };
            costs.dispatch(&Grid { groups, ..GRID }, traffic) - Software::DISPATCH
        };
        assert!(time(2, 8) > 3.0 * time(8, 8));
        assert_eq!(time(2, 7), time(2, 8)); // one core waits for the other
    }

    #[test]
    fn a_gpu_needs_many_invocations() {
        let grid = Grid { width: 4, lanes: 256, ..GRID };
        let traffic = Traffic { applied: 1, written: 1, ..Default::default() };
        let time = |groups| Gpu::DISCRETE.dispatch(&Grid { groups, ..grid }, traffic, 1e8);
        assert!(time(8) > 10.0 * time(512));
        assert!(time(512) < 2.0 * 2e8 / Gpu::DISCRETE.memory + 1e6);
    }
}
