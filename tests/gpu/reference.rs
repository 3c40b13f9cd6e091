//! PyTorch's and ONNX' reference files, by the rule of tests/data/README.md.

use testkit::conformance::{case::Case, files, files::assert_passes, gpu::run};
use testkit::gpu::{context, gpu};

#[track_caller]
fn check(folder: &str, files: usize) {
    assert_passes(folder, files, |case| run(gpu(), context(), case));
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

/// 16-bit storage and epilogues.
#[test]
fn extended() {
    let whole = |case: &Case| case.steps.iter().all(|step| step.valid.is_none() && step.parts.is_empty());
    files::assert_those_pass("extended", 12, whole, |case| run(gpu(), context(), case));
}
