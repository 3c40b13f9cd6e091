//! What a device is like, as far as plans differ by it.

use crate::cost::{Costs, Gpu, Software};
use crate::error::PrepareError;
use crate::grid::Grid;
use crate::plan::View;

/// Limits and kind of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Machine {
    pub costs: Costs,
    pub max_lanes: u32,
    pub max_workgroup_bytes: u32,
    pub max_workgroups: u32,
    pub max_binding: u64,
    pub alignment: u32,
}

impl Machine {
    pub fn of(device: &wgpu::Device) -> Self {
        let (limits, info) = (device.limits(), device.adapter_info());
        let costs = match info.device_type {
            wgpu::DeviceType::Cpu => Costs::Software(Software {
                simd: info.subgroup_min_size.clamp(4, 16).next_power_of_two(),
                threads: std::thread::available_parallelism().map_or(1, usize::from) as u32,
            }),
            wgpu::DeviceType::IntegratedGpu => Costs::Gpu(Gpu::INTEGRATED),
            _ => Costs::Gpu(Gpu::DISCRETE),
        };
        Self {
            costs,
            max_lanes: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            // Indices have 32 bits.
            max_binding: limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size)
                .min(u64::from(u32::MAX) * 4),
            alignment: limits.min_storage_buffer_offset_alignment,
        }
    }

    /// The same device, planned for as a GPU.
    pub fn as_gpu(self) -> Self {
        Self { costs: Costs::Gpu(Gpu::DISCRETE), ..self }
    }

    /// Lanes of a SIMD vector, on an adapter that runs on the CPU.
    pub fn simd(&self) -> Option<u32> {
        match self.costs {
            Costs::Software(Software { simd, .. }) => Some(simd),
            Costs::Gpu(_) => None,
        }
    }

    /// Whether holding values is worth a thought. On a software adapter registers are memory at a barrier, too; and
    /// lavapipe compiles loops for seconds that are unrolled for more than this.
    pub fn holds(&self, grid: &Grid) -> bool {
        self.simd().is_none() || (grid.nobody_shares() && grid.held * grid.width <= 128)
    }

    /// Whether the device runs compute shaders at all.
    pub fn computes(&self) -> bool {
        self.max_workgroups > 0
    }

    /// The workgroups of a dispatch, folded into two dimensions where they are more than one takes.
    pub fn workgroups(&self, groups: u32) -> Result<[u32; 2], PrepareError> {
        let x = groups.min(self.max_workgroups).max(1);
        let y = groups.div_ceil(x);
        if y > self.max_workgroups {
            return Err(PrepareError::DeviceLimit {
                limit: "max_compute_workgroups_per_dimension",
                required: y.into(),
                given: self.max_workgroups.into(),
            });
        }
        Ok([x, y])
    }

    /// The dispatch that merges the chunks of each feature.
    pub fn merge(&self, features: u32, chunks: u32) -> Grid {
        let width = if features.is_multiple_of(4) { 4 } else { 1 };
        let places = features / width;
        // 128 bytes side by side; the other invocations share the chunks.
        let columns = places.next_power_of_two().min(self.simd().unwrap_or(32 / width));
        let useful = (columns * chunks.clamp(1, 256)).next_power_of_two();
        let lanes = self.simd().unwrap_or(useful.clamp(64, 256));
        let lanes = lanes.min(self.max_lanes_of(View::Rows, width)).max(columns);
        let groups = places.div_ceil(columns);
        Grid {
            view: View::Rows,
            width,
            lanes,
            columns,
            chunks,
            chunk: chunks,
            total: chunks,
            groups,
            held: 0,
        }
    }

    /// The largest workgroup that keeps the Moments of each invocation in workgroup memory: their count, and three
    /// statistics of each feature that the invocation holds. tests/shaders.rs holds the shaders to these sizes.
    pub fn max_lanes_of(&self, view: View, width: u32) -> u32 {
        let bytes = match (view, width) {
            (View::Planes, _) | (View::Rows, 1) => 16,
            (View::Rows, width) => 16 + 3 * 4 * width,
        };
        1 << self.max_lanes.min(self.max_workgroup_bytes / bytes).max(1).ilog2()
    }
}

#[cfg(test)]
impl Machine {
    /// A GPU with WebGPU's default limits.
    pub const GPU: Self = Self {
        costs: Costs::Gpu(Gpu::DISCRETE),
        max_lanes: 256,
        max_workgroup_bytes: 16384,
        max_workgroups: 65535,
        max_binding: 128 << 20,
        alignment: 256,
    };

    /// A software adapter on two cores.
    pub fn software(simd: u32) -> Self {
        Self { costs: Costs::Software(Software { simd, threads: 2 }), ..Self::GPU }
    }
}
