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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{DeviceProfile, Op, Plan};

    /// The packets that all invocations of a dispatch read. Twin of `begin_slice` and `advance` in shaders/lib/cursor.wgsl.
    fn walked(params: &Params, grid: &Grid) -> Vec<u32> {
        let (tiles, step) = (params.slots.div_ceil(grid.tile), grid.sharers());
        let mut indices = vec![];
        for (group, invocation) in (0..params.groups).flat_map(|g| (0..grid.workgroup).map(move |i| (g, i))) {
            let (slot, split) = (group % tiles * grid.tile + invocation % grid.tile, group / tiles);
            let begin = split * params.slice + invocation / grid.tile;
            let end = ((split + 1) * params.slice).min(params.total);
            if slot >= params.slots || begin >= end {
                continue;
            }
            let (mut index, mut inner) = (begin * params.plane + slot, 0);
            if grid.view == View::Planes {
                inner = begin % params.plane;
                index = begin / params.plane * (params.plane + params.jump) + slot * params.plane + inner;
            }
            for _ in 0..(end - begin).div_ceil(step) {
                indices.push(params.first + index);
                (index, inner) = (index.wrapping_add(params.step_index), inner + params.step_inner);
                if grid.view == View::Planes && inner >= params.plane {
                    (index, inner) = (index.wrapping_add(params.jump), inner - params.plane);
                }
            }
        }
        indices.sort_unstable();
        indices
    }

    #[test]
    fn a_dispatch_reads_every_packet_once() {
        let of_rows = [(Shape::rows(37, 20), "rows packet=4"), (Shape::rows(61, 7), "rows packet=1")];
        let planes = [(9, 5, 28, 4), (3, 2, 3, 1), (5, 3, 96, 16), (40, 2, 8, 4)];
        let planes = planes.map(|(n, c, positions, packet)| {
            (Shape::channels_first(n, c, &[positions]), format!("planes packet={packet}"))
        });
        let all = of_rows.into_iter().map(|(shape, text)| (shape, text.to_owned())).chain(planes);
        for (shape, text) in all {
            for plan in [
                "cached workgroup=32 tile=2",
                "split workgroup=8 tile=2 splits=3",
                "split workgroup=8 tile=8 splits=1",
            ] {
                let request = format!("{plan} {text}").parse().unwrap();
                let op = Op::Training { update_running: true };
                let plan = Plan::new(&DeviceProfile::software(8), op, shape, request).unwrap();
                for stage in plan.stages().iter().filter(|stage| stage.kernel.sees_tensor()) {
                    let grid = &stage.grid;
                    let params = Params::new(shape.features(), 64).over_tensor(shape, grid, 3);
                    let packets = shape.elements() as u32 / grid.packet;
                    assert!(walked(&params, grid).into_iter().eq(3..3 + packets), "{plan}: {params:?}");
                    let wide = grid.view == View::Rows && grid.packet > 1;
                    assert_eq!(params.stride, if wide { 16 } else { 64 }, "{plan}");
                }
            }
        }
    }

    #[test]
    fn what_merges_and_what_makes_a_mask_is_told_its_size() {
        let shape = Shape::channels_first(40, 20, &[7]);
        let grid = Grid {
            view: View::Rows,
            packet: 4,
            workgroup: 8,
            tile: 8,
            held: 0,
            splits: 6,
            slice: 5,
            total: 30,
            groups: 9,
        };
        let merge = Params::new(20, 64).over_features(&grid);
        assert_eq!([merge.groups, merge.splits, merge.slots, merge.stride], [9, 6, 5, 16]);
        let mask = Params::new(20, 64).over_mask(shape, &grid);
        assert_eq!([mask.groups, mask.total, mask.plane, mask.stride], [9, 280, 7, 64]);
    }
}
