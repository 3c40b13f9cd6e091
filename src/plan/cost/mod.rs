//! What a dispatch takes on a class of devices: a small model to choose plans by. Its constants are measured where the
//! comment says so; `cargo bench` prints what it predicts beside what it measures.

mod gpu;
mod software;

use super::grid::Grid;

pub use gpu::GpuCosts;
pub use software::SoftwareCosts;

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

    /// The most float32 that an invocation of the persistent path holds by default, where there is such a limit.
    pub(crate) fn most_held(&self) -> Option<u32> {
        match self {
            Costs::Software(SoftwareCosts { most_held, .. }) => Some(*most_held),
            Costs::Gpu(_) => None,
        }
    }

    /// The most float32 of a packet along rows by default, beside a load of 16 bytes. On a CPU, whose lanes go along a row,
    /// up to a cache line for each of them.
    pub(crate) fn widest_row(&self, reduces: bool) -> u32 {
        match self {
            Costs::Software(SoftwareCosts { most_reduced, .. }) if reduces => *most_reduced,
            Costs::Software(_) => 16,
            Costs::Gpu(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::View;
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
