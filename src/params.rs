//! What the driver tells the kernels. Twin: shaders/params.wgsl.

use bytemuck::{Pod, Zeroable};

use crate::descriptor::BatchNormDescriptor;
use crate::grid::Grid;
use crate::plan::View;
use crate::shape::Shape;

/// Field for field the uniform `Params` of shaders/params.wgsl, which says what each is.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(crate) struct Params {
    pub groups: u32,
    pub chunks: u32,
    pub chunk: u32,
    pub total: u32,
    pub plane: u32,
    pub step_index: u32,
    pub step_inner: u32,
    pub jump: u32,
    pub places: u32,
    pub stride: u32,
    pub zero: u32,
    pub update_running: u32,
    pub use_running: u32,
    pub accumulate: u32,
    pub count: f32,
    pub chunk_count: f32,
    pub last_count: f32,
    pub unit: f32,
    pub variance_of_square: f32,
    pub running_scale: f32,
    pub eps: f32,
    pub momentum: f32,
}

impl Params {
    /// What all dispatches of one prepared work share. The stride is in float32.
    pub fn new(descriptor: &BatchNormDescriptor<'_>, stride: u32, shape: Shape) -> Self {
        let count = shape.count();
        let unit = unit(count);
        Self {
            places: shape.features(),
            stride,
            count: count as f32,
            unit: unit as f32,
            variance_of_square: (1.0 / (count as f64 * unit * unit)) as f32,
            running_scale: match descriptor.convention.unbiased_running_variance() {
                true if count > 1 => (count as f64 / (count as f64 - 1.0)) as f32,
                _ => 1.0,
            },
            eps: descriptor.eps,
            momentum: descriptor.momentum.map_or(-1.0, |m| descriptor.convention.batch_share(m)),
            ..Zeroable::zeroed()
        }
    }

    /// The same for a dispatch over the tensor: how its invocations walk.
    pub fn over_tensor(self, shape: Shape, grid: &Grid) -> Self {
        let Grid { view, width, lanes, columns, chunks, chunk, total, groups, .. } = *grid;
        let walkers = lanes / columns;
        let (plane, jump, step_index, step_inner) = match view {
            View::Planes => {
                let plane = shape.inner() as u32 / width;
                let jump = (shape.features() - 1) * plane;
                let (planes, rest) = (walkers / plane, walkers % plane);
                (plane, jump, planes.wrapping_mul(plane + jump).wrapping_add(rest), rest)
            }
            View::Rows => {
                let plane = shape.features() / width;
                (plane, 0, walkers * plane, 0)
            }
        };
        let params = Self { groups, chunks, chunk, total, plane, step_index, step_inner, jump, ..self };
        match view {
            View::Planes => params,
            View::Rows => params.in_stats_of(width),
        }
    }

    /// The same for a dispatch that merges what a dispatch over the tensor left.
    pub fn over_features(self, reduced: &Grid, merge: &Grid) -> Self {
        let values = match reduced.view {
            View::Planes => reduced.width,
            View::Rows => 1,
        };
        let Grid { chunks, chunk, total, .. } = *reduced;
        let params = Self {
            groups: merge.groups,
            chunks,
            chunk_count: (chunk * values) as f32,
            last_count: ((total - chunk * chunks.saturating_sub(1)) * values) as f32,
            ..self
        };
        params.in_stats_of(merge.width)
    }

    fn in_stats_of(self, width: u32) -> Self {
        Self { places: self.places / width, stride: self.stride / width, ..self }
    }
}

/// The largest power of two up to 1 / √count: squares times its square add up to no more than the variance.
pub(crate) fn unit(count: u64) -> f64 {
    0.5f64.powi(((count.max(1) as f64).log2() / 2.0).ceil() as i32)
}
