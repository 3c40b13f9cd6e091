//! PyTorch's and ONNX' reference files, and those of 16-bit storage, epilogues, masks and parts.

use testkit::conformance::{cpu::run, files::assert_passes};

#[test]
fn reference_files() {
    for (folder, files) in [("pytorch", 30), ("pytorch-extra", 6), ("onnx", 9), ("extended", 23)] {
        assert_passes(folder, files, run);
    }
}
