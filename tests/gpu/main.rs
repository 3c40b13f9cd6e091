//! Everything that needs a device, in one binary: one device, pipelines built once.
//!
//! Without an adapter, or with wgpu's noop backend only, every test fails and says what to install.

mod backward;
mod checks;
mod determinism;
mod drill;
mod embedding;
mod errors;
mod evaluation;
mod numerics;
mod parity;
mod placement;
mod properties;
mod reference;
mod semantics;
