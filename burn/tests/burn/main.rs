//! The module on burn's wgpu backend, beside burn's own and the float64 twin. One binary, since linking burn takes long.
//!
//! Features choose burn: `cargo test` has no fusion, `cargo test --features fusion,autotune` is what burn has by default.

mod devices;
mod digits;
mod gradients;
mod inputs;
mod layouts;
mod records;
mod statistics;
mod support;
