//! Workgroups over a tensor.

use super::View;

/// Packets that a GPU's kernels load before they use the first.
pub(crate) const AHEAD: u32 = 4;
/// Packets that an invocation may hold, each a shader of its own.
pub(crate) const HELD: [u32; 3] = [4, 8, 16];

/// Workgroups of one dispatch over the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub view: View,
    /// Values an invocation loads at a time.
    pub packet: u32,
    /// Invocations of a workgroup.
    pub workgroup: u32,
    /// Slots that a workgroup takes side by side. A slot is a feature (planes) or a packet of a row (rows).
    pub tile: u32,
    /// The most packets that an invocation holds, on the persistent path.
    pub held: u32,
    /// Workgroups that share a tile.
    pub splits: u32,
    /// Packets of a feature (planes) or rows (rows) in a split.
    pub slice: u32,
    /// Packets of a feature (planes) or rows (rows) in all.
    pub total: u32,
    /// Workgroups in all.
    pub groups: u32,
}

impl Grid {
    /// Values of a feature in a packet.
    pub fn values(&self) -> u32 {
        if self.view == View::Planes { self.packet } else { 1 }
    }

    /// Tiles, each of `splits` workgroups.
    pub fn tiles(&self) -> u32 {
        (self.groups / self.splits.max(1)).max(1)
    }

    /// Invocations that share a slot.
    pub fn sharers(&self) -> u32 {
        self.workgroup / self.tile
    }

    /// Whether each invocation has its slot to itself, so that there is nothing to merge, and no barrier.
    pub fn exclusive(&self) -> bool {
        self.tile == self.workgroup
    }

    /// Packets of one invocation.
    pub fn loads(&self) -> u64 {
        u64::from(self.slice).div_ceil(self.sharers().into())
    }
}
