//! What the driver tells the kernels. Twin: shaders/lib/params.wgsl.

use bytemuck::{Pod, Zeroable};

use crate::plan::{Grid, View};
use crate::tensor::Shape;

/// Field for field the uniform `Params` of shaders/lib/params.wgsl, which says what each is.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(crate) struct Params {
    pub groups: u32,
    pub splits: u32,
    pub slice: u32,
    pub total: u32,
    pub plane: u32,
    pub step_index: u32,
    pub step_inner: u32,
    pub jump: u32,
    pub first: u32,
    pub slots: u32,
    pub stride: u32,
    pub zero: u32,
    pub update_running: u32,
    pub use_running: u32,
    pub accumulate: u32,
    pub unbiased: f32,
    pub eps: f32,
    pub slope: f32,
    pub momentum: f32,
    pub number: u32,
}

impl Params {
    /// What all dispatches of one step share. The stride is in float32.
    pub fn new(features: u32, stride: u32) -> Self {
        Self { slots: features, stride, ..Zeroable::zeroed() }
    }

    /// The same for a dispatch over a piece of the tensor, so many packets after the begin of what is bound: how its
    /// invocations walk.
    pub fn over_tensor(self, shape: Shape, grid: &Grid, first: u32) -> Self {
        let Grid { view, packet, splits, slice, total, groups, .. } = *grid;
        debug_assert!(packet > 0 && slice > 0 && grid.tile > 0 && grid.sharers() > 0, "{grid:?}");
        debug_assert!(u64::from(splits) * u64::from(slice) >= u64::from(total), "{grid:?}");
        let sharers = grid.sharers();
        let (plane, jump, step_index, step_inner) = match view {
            View::Planes => {
                let plane = shape.inner() as u32 / packet;
                let jump = (shape.features() - 1) * plane;
                let (planes, rest) = (sharers / plane, sharers % plane);
                (plane, jump, planes.wrapping_mul(plane + jump).wrapping_add(rest), rest)
            }
            View::Rows => {
                let plane = shape.features() / packet;
                (plane, 0, sharers * plane, 0)
            }
        };
        debug_assert!(plane > 0, "{grid:?}");
        let params =
            Self { groups, splits, slice, total, plane, step_index, step_inner, jump, first, ..self };
        match view {
            View::Planes => params,
            View::Rows => Self { slots: plane, ..params.in_stats_of(packet) },
        }
    }

    /// The same for a dispatch that makes a mask.
    pub fn over_mask(self, shape: Shape, grid: &Grid) -> Self {
        debug_assert!(shape.positions() > 0 && shape.count() <= u32::MAX.into(), "{shape}");
        Self { groups: grid.groups, total: shape.count() as u32, plane: shape.positions() as u32, ..self }
    }

    /// The same for a dispatch that merges what one over the tensor left in its splits.
    pub fn over_features(self, merge: &Grid) -> Self {
        let slots = self.slots / merge.packet;
        Self { groups: merge.groups, splits: merge.splits, slots, ..self.in_stats_of(merge.packet) }
    }

    /// In rows, a Stat is as wide as a packet's Quad.
    fn in_stats_of(self, packet: u32) -> Self {
        Self { stride: self.stride / packet.min(4), ..self }
    }
}
