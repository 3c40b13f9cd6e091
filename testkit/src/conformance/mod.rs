//! Reference files: read into cases, run by the layer or its CPU reference, and judged.
//!
//! `examples/conformance` is the program made of it; the tests check the files of tests/data.

pub mod case;
pub mod compare;
pub mod cpu;
pub mod encode;
mod extended;
mod file;
pub mod files;
mod formula;
pub mod gpu;
mod gpu_extended;
mod gpu_plain;
mod layer;
mod onnx;
mod pytorch;
pub mod read;
mod read_back;
pub mod results;
mod rule;
mod rules;
mod statistics;
pub mod tensor;

#[cfg(test)]
mod exact;
#[cfg(test)]
mod judging_tests;
#[cfg(test)]
mod reading_tests;
