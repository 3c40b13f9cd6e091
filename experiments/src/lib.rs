//! What batch normalization is for: networks trained with and without it, on the caller's side of the layer's API.

pub mod data;
pub mod digits;
#[cfg(feature = "program")]
pub mod evidence;
pub mod gpu;
pub mod kernels;
#[cfg(feature = "program")]
pub mod landscape;
pub mod network;
pub mod pass;
#[cfg(feature = "program")]
pub mod plots;
pub mod regression;
pub mod tensor;
#[cfg(feature = "program")]
pub mod trainer;
pub mod views;
