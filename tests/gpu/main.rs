//! Everything that needs a device, in one binary: one device, pipelines built once.
//!
//! Without an adapter, or with wgpu's noop backend only, every test fails and says what to install.

mod accuracy;
mod activations;
mod backward;
mod bindings;
mod buffers;
mod checkpoint_fuzz;
mod checkpoints;
mod checks;
mod counting;
mod coverage;
mod determinism;
mod drill;
mod embedding;
mod epilogues;
mod errors;
mod evaluation;
mod extremes;
mod folding;
mod frozen;
mod hard;
mod indices;
mod limits;
mod memory;
mod messages;
mod nonfinite;
mod numerics;
mod overlaps;
mod parameters;
mod parity;
mod parts;
mod pieces;
mod pipelines;
mod placement;
mod properties;
mod rebinding;
mod reference;
mod semantics;
mod sharing;
mod splits;
mod storage;
mod storage_coverage;
mod storage_parity;
mod synchronized;
mod virtual_batches;
