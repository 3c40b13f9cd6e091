//! Registers that the persistent path takes.

use super::View;
use super::grid::AHEAD;
use crate::tensor::StorageType;

/// Registers of a multiprocessor (32 bits each; GPUs of NVIDIA, AMD and Intel have as many or more).
pub(super) const REGISTERS: u32 = 1 << 16;
/// Registers that an invocation needs beside the values it holds, and beside for each statistic: `make isa` shows both.
const FOR_THE_REST: u32 = 72;
const PER_STATISTIC: u32 = 12;

/// What an invocation of the persistent path has registers for. Not part of the API.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Holding {
    pub view: View,
    /// Values that it loads at a time.
    pub packet: u32,
    /// Packets that it holds of each tensor.
    pub held: u32,
    /// Tensors of which it holds packets.
    pub tensors: u32,
    pub masked: bool,
    pub residual: bool,
    pub storage: StorageType,
}

impl Holding {
    /// The registers that plans count with.
    pub fn registers(&self) -> u32 {
        let &Self { view, packet, held, tensors, masked, residual, storage } = self;
        let values = held * (packet * tensors + u32::from(masked));
        // Loaded beside: packets of the residual, and the words that 16-bit values stand in.
        let residuals = if residual { AHEAD * packet } else { 0 };
        let words = if storage.is_half() { AHEAD * packet / 2 } else { 0 };
        let statistics = if view == View::Rows { packet } else { 1 };
        values + residuals + words + FOR_THE_REST + statistics * PER_STATISTIC
    }
}
