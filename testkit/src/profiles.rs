//! Contexts of the shared device that plan for a class of devices, whatever the device is.

use wgpu_batchnorm::{Context, ContextOptions, Costs, DeviceProfile, GpuCosts, SoftwareCosts};

use crate::gpu::gpu;
use crate::shared::shared;

/// What is planned for a software adapter and for a GPU, with the limits of the shared device; each pipeline is built once
/// for all tests.
pub fn contexts() -> &'static [(&'static str, Context); 2] {
    shared().classes.get_or_init(|| {
        let costs =
            [("software", Costs::Software(SoftwareCosts::LAVAPIPE)), ("GPU", Costs::Gpu(GpuCosts::DISCRETE))];
        costs.map(|(name, costs)| (name, with_costs(costs)))
    })
}

/// What is planned for the shared device with as many storage buffers to a dispatch as every WebGPU device binds.
pub fn webgpu() -> &'static Context {
    shared().webgpu.get_or_init(|| {
        let device = &gpu().device;
        let mut profile = DeviceProfile::of(device);
        profile.max_storage_buffers = 8;
        Context::with_options(device, ContextOptions::default().profile(profile))
    })
}

/// What is planned for a GPU with its limits, whatever the shared device's are.
pub fn discrete() -> &'static Context {
    let options = || ContextOptions::default().profile(DeviceProfile::discrete());
    shared().discrete.get_or_init(|| Context::with_options(&gpu().device, options()))
}

/// Contexts whose kernels access float16 by two bytes, where the shared device can, and by atomics.
pub fn by_half_access() -> &'static [(&'static str, Context)] {
    shared().half_accesses.get_or_init(|| {
        let device = &gpu().device;
        let with = |half_access| {
            let mut profile = DeviceProfile::of(device);
            profile.half_access = half_access;
            Context::with_options(device, ContextOptions::default().profile(profile))
        };
        let mut contexts = vec![("atomics", with(false))];
        match DeviceProfile::of(device).half_access {
            true => contexts.push(("two-byte accesses", with(true))),
            false => eprintln!("SKIPPED: two-byte accesses: the device has no SHADER_F16"),
        }
        contexts
    })
}

fn with_costs(costs: Costs) -> Context {
    let device = &gpu().device;
    let profile = DeviceProfile::of(device).with_costs(costs);
    Context::with_options(device, ContextOptions::default().profile(profile))
}
