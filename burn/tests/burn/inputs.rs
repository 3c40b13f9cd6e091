//! What a layer refuses, and what it says.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, Tensor};
use burn_batchnorm::BatchNormConfig;
use wgpu_batchnorm::wgpu;

use crate::support::{device, normal, ours, plain, tensor, values};

#[track_caller]
fn assert_panics(run: impl FnOnce(), parts: &[&str]) {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it must panic");
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    for part in parts {
        assert!(text.contains(part), "required {part:?} in {text:?}");
    }
}

#[test]
fn other_shapes() {
    let norm = ours(&BatchNormConfig::new(3), &plain());
    let features = || drop(norm.forward(Tensor::<3>::zeros([2, 4, 5], &plain())));
    assert_panics(features, &["3 features", "(N, 3, ..)", "[2, 4, 5]"]);
    let rank = || drop(norm.forward(Tensor::<1>::zeros([3], &plain())));
    assert_panics(rank, &["3 features", "[3]"]);
}

#[test]
fn one_value_per_feature_cannot_train() {
    let norm = ours(&BatchNormConfig::new(3), &device());
    let run = || drop(norm.forward(tensor(&[1.0, 2.0, 3.0], [1, 3], &device())));
    assert_panics(run, &["at least 2 values per feature", "[1, 3]", "drop a last batch"]);
    // It can be evaluated.
    let evaluated = ours(&BatchNormConfig::new(3), &plain()).forward(tensor(&[1.0; 3], [1, 3], &plain()));
    assert_eq!(evaluated.dims(), [1, 3]);
}

#[test]
fn options_out_of_range() {
    let init = |config: BatchNormConfig| move || drop(config.init(&plain()));
    assert_panics(init(BatchNormConfig::new(3).with_epsilon(0.0)), &["epsilon", "above 0", "given 0"]);
    assert_panics(init(BatchNormConfig::new(3).with_momentum(1.5)), &["momentum", "0..=1", "given 1.5"]);
}

#[test]
fn an_empty_batch_passes_through() {
    let norm = ours(&BatchNormConfig::new(3), &device());
    let before = values(norm.running_var.value_sync());
    assert_eq!(norm.forward(Tensor::<3>::zeros([0, 3, 5], &device())).dims(), [0, 3, 5]);
    assert_eq!(values(norm.running_var.value_sync()), before);
}

/// A device that burn knows and this crate does not.
#[test]
fn a_device_that_was_not_shared() {
    let device = Device::wgpu_options().setup(another()).init().unwrap();
    let norm = BatchNormConfig::new(3).init(&device);
    let x = tensor(&normal(12, 51, 0.0), [4, 3], &device);
    assert_panics(|| drop(norm.forward(x)), &["burn_batchnorm::init", "burn_batchnorm::share"]);
}

/// Another wgpu device on the same adapter.
pub fn another() -> WgpuSetup {
    let first = crate::support::setup();
    let descriptor = wgpu::DeviceDescriptor {
        required_features: first.device.features() - wgpu::Features::all_experimental_mask(),
        required_limits: first.device.limits(),
        ..Default::default()
    };
    let (device, queue) = cubecl::future::block_on(first.adapter.request_device(&descriptor)).unwrap();
    WgpuSetup { device, queue, ..first }
}
