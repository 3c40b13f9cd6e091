//! What the driver tells the kernels. Twin: shaders/params.wgsl.

use bytemuck::{Pod, Zeroable};

use crate::descriptor::BatchNormDescriptor;
use crate::plan::{Grid, View};
use crate::shape::Shape;

/// Field for field the uniform `Params` of shaders/params.wgsl, which says what each is.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(crate) struct Params {
    pub features: u32,
    pub groups: u32,
    pub chunks: u32,
    pub chunk: u32,
    pub total: u32,
    pub plane: u32,
    pub step_index: u32,
    pub step_inner: u32,
    pub jump: u32,
    pub state_stride: u32,
    pub zero: u32,
    pub update_running: u32,
    pub use_running: u32,
    pub accumulate: u32,
    pub count: f32,
    pub unit: f32,
    pub variance_of_square: f32,
    pub running_scale: f32,
    pub eps: f32,
    pub momentum: f32,
}

impl Params {
    /// What all dispatches of one prepared work share.
    pub fn new(descriptor: &BatchNormDescriptor<'_>, state_stride: u32, shape: Shape) -> Self {
        let count = shape.count();
        let unit = unit(count);
        Self {
            features: shape.features(),
            state_stride,
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

    /// The same for one dispatch: how its invocations walk.
    pub fn on(self, shape: Shape, grid: &Grid) -> Self {
        let width = grid.width;
        let plane = match grid.view {
            View::Planes => shape.inner() as u32 / width,
            View::Rows => shape.features() / width,
        };
        let between_planes = match grid.view {
            View::Planes => (shape.features() - 1) * plane,
            View::Rows => 0,
        };
        let (step_index, step_inner) = match grid.view {
            View::Planes => {
                let (planes, rest) = (grid.lanes / plane, grid.lanes % plane);
                (planes.wrapping_mul(plane + between_planes).wrapping_add(rest), rest)
            }
            View::Rows => ((grid.lanes / grid.columns) * plane, 0),
        };
        Self {
            groups: grid.groups,
            chunks: grid.chunks,
            chunk: grid.chunk,
            total: grid.total,
            plane,
            step_index,
            step_inner,
            jump: between_planes,
            ..self
        }
    }
}

/// The largest power of two up to 1 / √count: squares times its square add up to no more than the variance.
pub(crate) fn unit(count: u64) -> f64 {
    0.5f64.powi(((count.max(1) as f64).log2() / 2.0).ceil() as i32)
}
