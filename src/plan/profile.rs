//! What a device is like, as far as plans differ by it.

use std::fmt::{Display, Formatter, Result as FmtResult};

use super::cost::{Costs, GpuCosts, SoftwareCosts};
use super::{PlanError, View};
use crate::tensor::BindingLimits;

/// Limits and cost constants of a device: what plans are made for. Print it.
///
/// [`DeviceProfile::of`] chooses one from the adapter; a [`Context`](crate::Context) can be given another, to plan for
/// another device than it runs on, or with constants that were measured.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DeviceProfile {
    /// The model that plans are chosen by.
    pub costs: Costs,
    /// The largest workgroup.
    pub max_workgroup: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// The most workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// The largest storage binding, in bytes.
    pub max_binding: u64,
    /// The most storage buffers of a dispatch.
    pub max_storage_buffers: u32,
    /// What offsets of storage bindings are a multiple of, in bytes.
    pub alignment: u32,
    /// Whether shaders may access float16 values of two bytes one by one (`wgpu::Features::SHADER_F16`). Where they may
    /// not, atomics write what shares a word: slower, in odd planes and rows.
    pub half_access: bool,
}

impl DeviceProfile {
    /// WebGPU's default limits.
    const DEFAULT: Self = Self {
        costs: Costs::Gpu(GpuCosts::INTEGRATED),
        max_workgroup: 256,
        max_workgroup_bytes: 16384,
        max_workgroups: 65535,
        max_binding: 128 << 20,
        max_storage_buffers: 8,
        alignment: 256,
        half_access: false,
    };

    /// The profile of a device: its limits, and the costs of its adapter's class, a discrete, integrated, Apple or phone GPU
    /// or a software adapter. Where nothing is known of the adapter, as
    /// in browsers, the costs are those of an integrated GPU.
    pub fn of(device: &wgpu::Device) -> Self {
        let (limits, info) = (device.limits(), device.adapter_info());
        let costs = match info.device_type {
            wgpu::DeviceType::Cpu => Costs::Software(SoftwareCosts {
                simd: info.subgroup_min_size.clamp(4, 16).next_power_of_two(),
                ..software(&info.driver_info)
            }),
            wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => Costs::Gpu(GpuCosts::DISCRETE),
            wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Other => {
                Costs::Gpu(shared_memory(&info.name))
            }
        };
        Self {
            costs,
            max_workgroup: limits
                .max_compute_invocations_per_workgroup
                .min(limits.max_compute_workgroup_size_x),
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            // Indices have 32 bits.
            max_binding: limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size)
                .min(u64::from(u32::MAX) * 4),
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            alignment: limits.min_storage_buffer_offset_alignment,
            half_access: device.features().contains(wgpu::Features::SHADER_F16),
        }
    }

    /// A discrete GPU with WebGPU's default limits.
    pub fn discrete() -> Self {
        Self::DEFAULT.with_costs(Costs::Gpu(GpuCosts::DISCRETE))
    }

    /// An integrated GPU with WebGPU's default limits.
    pub fn integrated() -> Self {
        Self::DEFAULT
    }

    /// A software adapter of SIMD vectors of `simd` lanes, with WebGPU's default limits.
    pub fn software(simd: u32) -> Self {
        Self::DEFAULT.with_costs(Costs::Software(SoftwareCosts { simd, ..SoftwareCosts::LAVAPIPE }))
    }

    /// The same limits with other costs.
    pub fn with_costs(self, costs: Costs) -> Self {
        Self { costs, ..self }
    }

    /// The largest workgroup for a view and packet: it keeps the moments of each invocation in workgroup memory, a count
    /// and three statistics of each feature.
    pub fn max_workgroup_of(&self, view: View, packet: u32) -> u32 {
        let bytes = match (view, packet) {
            (View::Planes, _) | (View::Rows, 1) => 16,
            // A count padded to 16 bytes, and three times four values, for each four features.
            (View::Rows, packet) => 64 * (packet / 4),
        };
        1 << self.max_workgroup.min(self.max_workgroup_bytes / bytes).max(1).ilog2()
    }

    /// Lanes of a SIMD vector, on an adapter that runs on the CPU.
    pub(crate) fn simd(&self) -> Option<u32> {
        match self.costs {
            Costs::Software(SoftwareCosts { simd, .. }) => Some(simd),
            Costs::Gpu(_) => None,
        }
    }

    /// Whether the device runs compute shaders at all.
    pub(crate) fn computes(&self) -> bool {
        self.max_workgroups > 0
    }

    pub(crate) fn bindings(&self) -> BindingLimits {
        BindingLimits { bytes: self.max_binding, alignment: self.alignment }
    }

    /// The workgroups of a dispatch, folded into two dimensions of about the same surplus where they are more than one
    /// takes.
    pub(crate) fn fold(&self, groups: u32) -> Result<[u32; 2], PlanError> {
        let y = groups.div_ceil(self.max_workgroups.max(1)).max(1);
        if y > self.max_workgroups {
            return Err(PlanError::DeviceLimit {
                limit: "max_compute_workgroups_per_dimension",
                required: y.into(),
                given: self.max_workgroups.into(),
            });
        }
        Ok([groups.div_ceil(y).max(1), y])
    }
}

impl Display for DeviceProfile {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self.costs {
            Costs::Software(SoftwareCosts { simd, threads, .. }) => {
                write!(f, "software adapter, {simd} lanes, planned for {threads} cores")?;
            }
            Costs::Gpu(GpuCosts { memory, cached, invocations, .. }) => write!(
                f,
                "GPU, {memory} GB/s, {:.0} MB of cache, {invocations} invocations in flight",
                cached / 1e6
            )?,
        }
        write!(
            f,
            "; at most {} invocations and {} bytes a workgroup, {} workgroups a dimension, {} storage buffers, {} bytes a \
             binding at multiples of {}",
            self.max_workgroup,
            self.max_workgroup_bytes,
            self.max_workgroups,
            self.max_storage_buffers,
            self.max_binding,
            self.alignment
        )?;
        f.write_str(if self.half_access { "; float16 by accesses of two bytes" } else { "" })
    }
}

/// Costs of a software adapter, by what the driver says of itself: `Mesa 22.3.6 (LLVM 15.0.6)`. How Mesa 23 and 24 load has
/// not been measured.
fn software(driver_info: &str) -> SoftwareCosts {
    let version =
        driver_info.strip_prefix("Mesa ").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    match version {
        Some(..23) => SoftwareCosts::LANE_BY_LANE,
        _ => SoftwareCosts::LAVAPIPE,
    }
}

/// Costs of a GPU that shares the CPU's memory, by the adapter's name.
fn shared_memory(name: &str) -> GpuCosts {
    let is = |names: &[&str]| names.iter().any(|part| name.contains(part));
    match () {
        _ if is(&["Apple M"]) => GpuCosts::APPLE,
        _ if is(&["Adreno", "Mali", "Immortalis", "PowerVR", "Xclipse", "Apple A"]) => GpuCosts::PHONE,
        _ => GpuCosts::INTEGRATED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_that_share_memory_have_classes() {
        assert_eq!(shared_memory("Apple M2 Pro"), GpuCosts::APPLE);
        assert_eq!(shared_memory("Adreno (TM) 740"), GpuCosts::PHONE);
        assert_eq!(shared_memory("Mali-G78"), GpuCosts::PHONE);
        assert_eq!(shared_memory("Intel(R) Iris(R) Xe Graphics"), GpuCosts::INTEGRATED);
        assert_eq!(shared_memory(""), GpuCosts::INTEGRATED);
    }

    #[test]
    fn software_adapters_load_as_their_drivers_do() {
        assert_eq!(software("Mesa 22.3.6 (LLVM 15.0.6)"), SoftwareCosts::LANE_BY_LANE);
        for driver in ["Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)", "", "Mesa ", "5.0.0"] {
            assert_eq!(software(driver), SoftwareCosts::LAVAPIPE, "{driver}");
        }
    }

    #[test]
    fn folded_dispatches_are_balanced() {
        let profile = DeviceProfile::discrete();
        assert_eq!(profile.fold(0), Ok([1, 1]));
        assert_eq!(profile.fold(65_535), Ok([65_535, 1]));
        assert_eq!(profile.fold(65_536), Ok([32_768, 2]));
        for groups in [65_537, 1_000_003, u32::MAX - 1] {
            let Ok([x, y]) = profile.fold(groups) else { continue };
            let surplus = u64::from(x) * u64::from(y) - u64::from(groups);
            assert!(x <= 65_535 && surplus < u64::from(y), "{groups}: {x} x {y}");
        }
        assert!(DeviceProfile { max_workgroups: 3, ..profile }.fold(10).is_err());
    }

    #[test]
    fn profiles_print() {
        let text = DeviceProfile::software(8).to_string();
        assert!(
            text.starts_with("software adapter, 8 lanes, planned for 4 cores; at most 256 invocations"),
            "{text}"
        );
    }
}
