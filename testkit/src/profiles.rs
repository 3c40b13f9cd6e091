//! Contexts of the shared device that plan for a class of devices, whatever the device is.

use std::sync::OnceLock;

use wgpu_batchnorm::{Context, ContextOptions, Costs, DeviceProfile, GpuCosts, SoftwareCosts};

use crate::gpu::gpu;

/// What is planned for a software adapter and for a GPU, with the limits of the shared device; each pipeline is built once
/// for all tests.
pub fn contexts() -> &'static [(&'static str, Context); 2] {
    static CONTEXTS: OnceLock<[(&str, Context); 2]> = OnceLock::new();
    CONTEXTS.get_or_init(|| {
        let costs =
            [("software", Costs::Software(SoftwareCosts::LAVAPIPE)), ("GPU", Costs::Gpu(GpuCosts::DISCRETE))];
        costs.map(|(name, costs)| (name, with_costs(costs)))
    })
}

fn with_costs(costs: Costs) -> Context {
    let device = &gpu().device;
    let profile = DeviceProfile::of(device).with_costs(costs);
    Context::with_options(device, ContextOptions::default().profile(profile))
}
