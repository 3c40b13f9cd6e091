//! The model of a GPU.

use super::super::grid::Grid;
use super::Traffic;

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

    pub(super) fn of_dispatch(&self, grid: &Grid, traffic: Traffic, bytes: f64, of_value: f64) -> f64 {
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
