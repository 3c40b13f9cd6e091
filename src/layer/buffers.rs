//! Where the layer's vectors are: in a buffer of its own, or in buffers of the caller's.

use bytemuck::cast_slice;

use super::{BatchNormDescriptor, DescriptorError};
use crate::kernels::{Context, Role, filled};
use crate::plan::vector_stride;
use crate::tensor::{BindingLimits, Bound, Tensor};

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

/// The layer's vectors. Those that are not the caller's stand [`vector_stride`] float32 apart in the layer's own buffer, in
/// this order.
#[derive(Debug)]
pub(crate) struct Vectors {
    pub own: wgpu::Buffer,
    pub all: [Vector; 5],
    /// How often the guard skipped each feature: always the layer's own.
    skipped: Vector,
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
            (Role::Weight, Tensor::Weight, weight, callers_weight, 1.0),
            (Role::Bias, Tensor::Bias, bias, callers_bias, 0.0),
            (Role::RunningMean, Tensor::RunningMean, tracks, running_mean, 0.0),
            (Role::RunningVar, Tensor::RunningVar, tracks, running_var, 1.0),
            (Role::Batches, Tensor::Batches, tracks, num_batches_tracked, 0.0),
            (Role::Skipped, Tensor::Skipped, tracks, None, 0.0),
        ];
        let (stride, bytes) = (vector_stride(features), u64::from(features) * 4);
        let initial = kinds.iter().filter(|kind| kind.3.is_none()).map(|kind| vec![kind.4; stride as usize]);
        let values: Vec<f32> = initial.flatten().collect();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let own = filled(context.device(), label, cast_slice(&values), usage)?;
        let (mut all, mut offset) = (Vec::new(), 0);
        for (role, tensor, has, given, _) in kinds {
            let bound = match given {
                Some(_) if !has => return Err(DescriptorError::NoParameter { tensor }),
                Some(binding) => Bound::new(&context.profile().bindings(), tensor, &binding, bytes)?,
                None => {
                    let place = offset;
                    offset += stride * 4;
                    Bound { tensor, buffer: own.clone(), offset: place, bytes, first: 0 }
                }
            };
            all.push(Vector { role, has, bound });
        }
        let skipped = all.pop().expect("six vectors");
        let all = all.try_into().expect("five vectors beside it");
        Ok(Self { own, all, skipped })
    }

    /// Puts other ranges in the place of those of the caller's. Nothing changes where it fails.
    pub fn rebind(
        &mut self,
        limits: &BindingLimits,
        buffers: &LayerBuffers<'_>,
    ) -> Result<(), DescriptorError> {
        let LayerBuffers { weight, bias, running_mean, running_var, num_batches_tracked } = buffers;
        let given = [weight, bias, running_mean, running_var, num_batches_tracked];
        let mut all = self.all.clone();
        for (vector, binding) in all.iter_mut().zip(given) {
            let Some(binding) = binding else { continue };
            let Bound { tensor, bytes, ref buffer, .. } = vector.bound;
            match (vector.has, *buffer == self.own) {
                (false, _) => return Err(DescriptorError::NoParameter { tensor }),
                (true, true) => return Err(DescriptorError::LayersOwn { tensor }),
                (true, false) => vector.bound = Bound::new(limits, tensor, binding, bytes)?,
            }
        }
        self.all = all;
        Ok(())
    }

    /// What steps bind: every vector and, where all of them are the layer's own, all as one.
    pub fn bounds(&self) -> Vec<(Role, Bound)> {
        let vectors = self.all.iter().chain([&self.skipped]);
        let mut bounds: Vec<_> = vectors.map(|vector| (vector.role, vector.bound.clone())).collect();
        if self.joint() {
            let (tensor, buffer) = (self.all[0].bound.tensor, self.own.clone());
            let bytes = buffer.size();
            bounds.push((Role::Layer, Bound { tensor, buffer, offset: 0, bytes, first: 0 }));
        }
        bounds
    }

    /// Whether all of them are the layer's own.
    pub fn joint(&self) -> bool {
        self.all.iter().all(|vector| vector.bound.buffer == self.own)
    }

    pub fn skipped(&self) -> Option<&Bound> {
        Some(&self.skipped.bound).filter(|_| self.skipped.has)
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
