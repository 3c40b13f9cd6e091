//! PyTorch's and ONNX' reference files, by the rule of tests/data/README.md.

use testkit::conformance::{files::assert_passes, gpu::run};
use testkit::gpu::{context, gpu};

#[track_caller]
fn check(folder: &str, files: usize) {
    assert_passes(folder, files, |case| pollster::block_on(run(gpu(), context(), case)));
}

#[test]
fn pytorch() {
    check("pytorch", 30);
}

#[test]
fn onnx() {
    check("onnx", 9);
}

#[test]
fn pytorch_channels_last_and_sampled() {
    check("pytorch-extra", 6);
}

#[test]
fn storage_epilogues_masks_and_parts() {
    check("extended", 23);
}
