//! Where the layer's vectors are: in a buffer of its own, or in buffers of the caller's.

use bytemuck::cast_slice;
use wgpu::util::{BufferInitDescriptor, DeviceExt};

use super::{BatchNormDescriptor, DescriptorError};
use crate::kernels::{Context, Role};
use crate::plan::vector_stride;
use crate::tensor::{Bound, Tensor};

/// Buffers of the caller's for some of a layer's vectors, each of C float32 (u32 for the count of batches): a framework's,
/// or ranges of an arena. They need the usage `STORAGE`, and `COPY_SRC` and `COPY_DST` for
/// [`read_state`](crate::BatchNorm::read_state) and [`set_state`](crate::BatchNorm::set_state). The layer changes none of
/// them when it is made: the caller writes the initial values.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LayerBuffers<'a> {
    /// The weight γ.
    pub weight: Option<wgpu::BufferBinding<'a>>,
    /// The bias β.
    pub bias: Option<wgpu::BufferBinding<'a>>,
    /// The running mean.
    pub running_mean: Option<wgpu::BufferBinding<'a>>,
    /// The running variance.
    pub running_var: Option<wgpu::BufferBinding<'a>>,
    /// num_batches_tracked, a u32 C times over.
    pub num_batches_tracked: Option<wgpu::BufferBinding<'a>>,
}

impl<'a> LayerBuffers<'a> {
    /// All vectors in the layer's own buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The weight γ is the caller's.
    pub fn weight(self, weight: wgpu::BufferBinding<'a>) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// The bias β is the caller's.
    pub fn bias(self, bias: wgpu::BufferBinding<'a>) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// The running mean is the caller's.
    pub fn running_mean(self, mean: wgpu::BufferBinding<'a>) -> Self {
        Self { running_mean: Some(mean), ..self }
    }

    /// The running variance is the caller's.
    pub fn running_var(self, variance: wgpu::BufferBinding<'a>) -> Self {
        Self { running_var: Some(variance), ..self }
    }

    /// The count of batches is the caller's.
    pub fn num_batches_tracked(self, counts: wgpu::BufferBinding<'a>) -> Self {
        Self { num_batches_tracked: Some(counts), ..self }
    }
}

/// A vector of the layer.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    pub role: Role,
    /// Whether the layer has it; if not, kernels read the initial values.
    pub has: bool,
    pub bound: Bound,
}

/// The layer's vectors, in the order of its own buffer, where they stand [`vector_stride`] float32 apart.
#[derive(Debug)]
pub(crate) struct Vectors {
    /// `None` where all vectors are the caller's.
    pub own: Option<wgpu::Buffer>,
    pub all: [Vector; 5],
}

impl Vectors {
    pub fn new(
        context: &Context,
        descriptor: &BatchNormDescriptor<'_>,
        buffers: LayerBuffers<'_>,
    ) -> Result<Self, DescriptorError> {
        let BatchNormDescriptor { label, features, weight, bias, track_running_stats: tracks, .. } =
            *descriptor;
        let LayerBuffers {
            weight: callers_weight,
            bias: callers_bias,
            running_mean,
            running_var,
            num_batches_tracked,
        } = buffers;
        let kinds = [
            (Role::Weight, Tensor::Weight, weight, callers_weight, 1.0f32),
            (Role::Bias, Tensor::Bias, bias, callers_bias, 0.0),
            (Role::RunningMean, Tensor::RunningMean, tracks, running_mean, 0.0),
            (Role::RunningVar, Tensor::RunningVar, tracks, running_var, 1.0),
            (Role::Batches, Tensor::Batches, tracks, num_batches_tracked, 0.0),
        ];
        let (stride, bytes) = (vector_stride(features), u64::from(features) * 4);
        let mut values = vec![0.0; kinds.len() * stride as usize];
        for (i, kind) in kinds.iter().enumerate() {
            values[i * stride as usize..][..features as usize].fill(kind.4);
        }
        let own = kinds.iter().any(|kind| kind.3.is_none()).then(|| {
            context.device().create_buffer_init(&BufferInitDescriptor {
                label,
                contents: cast_slice(&values),
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
            })
        });
        let mut all = Vec::new();
        for (i, (role, tensor, has, given, _)) in kinds.into_iter().enumerate() {
            let bound = match (given, &own) {
                (Some(_), _) if !has => return Err(DescriptorError::NoParameter { tensor }),
                (Some(binding), _) => Bound::new(&context.profile().bindings(), tensor, &binding, bytes)?,
                (None, Some(own)) => {
                    Bound { tensor, buffer: own.clone(), offset: i as u64 * stride * 4, bytes, first: 0 }
                }
                (None, None) => unreachable!("there is an own buffer where a vector is not given"),
            };
            all.push(Vector { role, has, bound });
        }
        let all = all.try_into().expect("five vectors");
        Ok(Self { own, all })
    }

    /// What steps bind: every vector and, where all of them are the layer's own, all as one.
    pub fn bounds(&self) -> Vec<(Role, Bound)> {
        let mut bounds: Vec<_> = self.all.iter().map(|vector| (vector.role, vector.bound.clone())).collect();
        let joint = |own: &&wgpu::Buffer| self.all.iter().all(|vector| vector.bound.buffer == **own);
        if let Some(own) = self.own.as_ref().filter(joint) {
            let tensor = self.all[0].bound.tensor;
            bounds.push((
                Role::Layer,
                Bound { tensor, buffer: own.clone(), offset: 0, bytes: own.size(), first: 0 },
            ));
        }
        bounds
    }

    pub fn get(&self, role: Role) -> Option<&Bound> {
        self.all.iter().find(|vector| vector.role == role && vector.has).map(|vector| &vector.bound)
    }

    /// Weight and bias as one binding, where they stand one after the other.
    pub fn parameters(&self) -> Option<wgpu::BufferBinding<'_>> {
        let (weight, bias) = (self.get(Role::Weight)?, self.get(Role::Bias)?);
        let stride = vector_stride((weight.bytes / 4) as u32) * 4;
        let follow = weight.buffer == bias.buffer && weight.offset + stride == bias.offset;
        follow.then(|| wgpu::BufferBinding {
            buffer: &weight.buffer,
            offset: weight.offset,
            size: std::num::NonZeroU64::new(stride + bias.bytes),
        })
    }
}
