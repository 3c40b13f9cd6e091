//! Reads a reference file into a [`Case`]: what to run, and the float64 truth to compare with.
//!
//! Three formats, all safetensors, told apart by their metadata: PyTorch cases (tests/data/scripts/gen_goldens.py
//! describes them), cases of 16-bit storage, epilogues, masks and parts (gen_extended.py), and ONNX backend tests
//! (onnx_goldens.py).

use super::case::Case;
use super::file::File;
use super::tensor::Result;
use super::{extended, onnx, pytorch};

/// Reads the bytes of a reference file.
pub fn read(bytes: &[u8]) -> Result<Case> {
    let file = File::open(bytes)?;
    if file.metadata.get("op").is_some_and(|op| op == "BatchNormalization") {
        onnx::read(&file)
    } else if file.metadata.contains_key("format_version") {
        pytorch::read(&file)
    } else if file.metadata.contains_key("format") {
        extended::read(&file)
    } else {
        Err("unknown kind of file: required metadata format_version (a PyTorch case), format (an extended case) or \
             op BatchNormalization (an ONNX test), given none of them"
            .into())
    }
}
