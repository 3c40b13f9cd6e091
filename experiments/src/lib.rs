//! What batch normalization is for: networks trained with and without it, on the caller's side of the layer's API.

pub mod data;
pub mod digits;
pub mod footguns;
pub mod gpu;
pub mod kernels;
pub mod landscape;
pub mod network;
mod pictures;
pub mod plots;
pub mod regression;
pub mod report;
mod tables;
pub mod tensor;
pub mod trainer;
