//! That recording a step allocates nothing. A binary of its own: it counts what its allocator does.

use testkit::recording::{Bare, Groups, Steps};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{Path, wgpu};

/// wgpu keeps what is recorded in memory that grows: a step may allocate as often as its dispatches recorded directly,
/// and no more.
#[test]
fn recording_allocates_no_more_than_wgpu() {
    let gpu = Gpu::new().unwrap_or_else(|error| panic!("{error}"));
    let bare = Bare::new(&gpu.device);
    for path in [Path::Cached, Path::Split] {
        let layers = [0, 1].map(|_| Steps::new(&gpu, path));
        let Steps { training, evaluation, backward } = &layers[0];
        let dispatches = [training.dispatches(), evaluation.dispatches(), backward.dispatches()].concat();
        let groups = Groups::of(&dispatches);
        let steps = allocations(&gpu.device, &|pass, i| {
            let Steps { training, evaluation, backward } = &layers[i % 2];
            training.record(pass);
            evaluation.record(pass);
            backward.record(pass);
        });
        let floor = allocations(&gpu.device, &|pass, i| bare.record(pass, i, &groups));
        assert!(floor > 0, "required that allocations are counted");
        assert_eq!(steps, floor, "{path}");
    }
}

fn allocations(device: &wgpu::Device, record: &dyn Fn(&mut wgpu::ComputePass<'_>, usize)) -> u64 {
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    allocation_counter::measure(|| (0..100).for_each(|i| record(&mut pass, i))).count_total
}
