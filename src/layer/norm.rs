//! The layer: its parameters and running statistics on the device.

use std::sync::atomic::{AtomicU64, Ordering};

use super::buffers::Vectors;
use super::{BatchNormDescriptor, DescriptorError, LayerBuffers, PrepareError};
use crate::kernels::{Context, Role};
use crate::plan::{MOMENTS_VECTORS, SAVED_VECTORS, SUMS_VECTORS, Work, vector_stride};
use crate::tensor::{Bound, BoundTensor, Shape, Tensor, TensorBinding};

/// A batch-normalization layer on a device: weight, bias, running statistics, and the calls that prepare its work.
///
/// Training and evaluation are different calls, [`prepare_training`](Self::prepare_training) and
/// [`prepare_evaluation`](Self::prepare_evaluation). Each validates and allocates, once per shape and set of buffers;
/// what it returns is recorded into the caller's compute pass as often as wanted.
#[derive(Debug)]
pub struct BatchNorm {
    pub(super) context: Context,
    pub(super) label: Option<String>,
    pub(super) descriptor: BatchNormDescriptor<'static>,
    pub(super) vectors: Vectors,
    /// To know the layer of a step by.
    pub(super) id: u64,
}

impl BatchNorm {
    /// A layer with weight 1, bias 0, running mean 0, running variance 1 and no batch tracked, as PyTorch's.
    ///
    /// Builds no pipeline: layers of the same context share those, and they are built when first needed.
    ///
    /// # Errors
    /// [`DescriptorError`], where a field of the descriptor is out of range or the state does not fit the device.
    pub fn new(context: &Context, descriptor: &BatchNormDescriptor<'_>) -> Result<Self, DescriptorError> {
        Self::with_buffers(context, descriptor, LayerBuffers::new())
    }

    /// A layer some of whose vectors are in buffers of the caller's, as they are. Vectors that are not given are in a
    /// buffer of the layer's, with the values of [`BatchNorm::new`].
    ///
    /// # Errors
    /// [`DescriptorError`], also where a buffer is too small, misaligned, or for a vector that the layer does not have.
    pub fn with_buffers(
        context: &Context,
        descriptor: &BatchNormDescriptor<'_>,
        buffers: LayerBuffers<'_>,
    ) -> Result<Self, DescriptorError> {
        static LAYERS: AtomicU64 = AtomicU64::new(0);
        descriptor.validate()?;
        let (features, limit) = (descriptor.features, context.profile().max_binding);
        if !context.profile().computes() {
            return Err(DescriptorError::NoCompute);
        }
        // The state, or what a step saves for its backward.
        let required = SAVED_VECTORS * vector_stride(features) * 4;
        if required > limit {
            return Err(DescriptorError::TooManyFeatures { features, required, limit });
        }
        Ok(Self {
            context: context.clone(),
            label: descriptor.label.map(str::to_owned),
            descriptor: BatchNormDescriptor { label: None, ..*descriptor },
            vectors: Vectors::new(context, descriptor, buffers)?,
            id: LAYERS.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Puts other ranges in the place of the caller's that hold the layer's vectors, for steps that are prepared or
    /// [rebound](crate::ForwardStep::rebind) from now on: for frameworks whose parameters move from one buffer to the next.
    /// Vectors that are not given stay where they are. The ranges are taken as they are.
    ///
    /// # Errors
    /// [`DescriptorError`]: a range that is too small or misaligned, or for a vector that the layer does not have or that is
    /// in its own buffer. The layer stays as it was.
    pub fn rebind(&mut self, buffers: LayerBuffers<'_>) -> Result<(), DescriptorError> {
        self.vectors.rebind(&self.context.profile().bindings(), &buffers)
    }

    /// C.
    pub fn features(&self) -> u32 {
        self.descriptor.features
    }

    /// What the layer is; without its label.
    pub fn descriptor(&self) -> &BatchNormDescriptor<'static> {
        &self.descriptor
    }

    /// The context the layer was made in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Changes the momentum, for steps that are prepared from now on.
    ///
    /// # Errors
    /// [`DescriptorError::Momentum`] outside of 0..=1; the layer stays as it was.
    pub fn set_momentum(&mut self, momentum: Option<f32>) -> Result<(), DescriptorError> {
        let descriptor = BatchNormDescriptor { momentum, ..self.descriptor };
        descriptor.validate()?;
        self.descriptor = descriptor;
        Ok(())
    }

    /// The weight γ on the device, C float32, for the optimizer to read and write; `None` without one.
    ///
    /// The layer's own vectors are ranges of one buffer (`STORAGE`, `COPY_SRC`, `COPY_DST`), 256 bytes aligned. WebGPU
    /// forbids to bind one of them as read-only and another as read-write in the same dispatch.
    pub fn weight(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.vectors.get(Role::Weight).map(Bound::binding)
    }

    /// The bias β on the device, C float32, like [`weight`](Self::weight).
    pub fn bias(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.vectors.get(Role::Bias).map(Bound::binding)
    }

    /// Weight and bias as one contiguous binding, for an optimizer to update in one dispatch: the weight first, the bias
    /// [`parameter_stride`](Self::parameter_stride) float32 later, unused values between. `None` where one of them is
    /// missing, or in a buffer of the caller's elsewhere.
    /// [`Backward::parameter_gradients`](crate::Backward::parameter_gradients) writes gradients in the same layout.
    pub fn parameters(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.vectors.parameters()
    }

    /// Float32 from the weight to the bias in [`parameters`](Self::parameters): C rounded up to a multiple of 64.
    pub fn parameter_stride(&self) -> u64 {
        vector_stride(self.features())
    }

    /// Bytes of what a forward step saves for its backward; see [`Training::saved`](crate::Training::saved).
    pub fn saved_bytes(&self) -> u64 {
        SAVED_VECTORS * vector_stride(self.features()) * 4
    }

    /// Bytes of a record of moments; see [`Moments`](crate::Moments).
    pub fn moments_bytes(&self) -> u64 {
        MOMENTS_VECTORS * vector_stride(self.features()) * 4
    }

    /// Bytes of a record of gradient sums; see [`prepare_gradient_sums`](Self::prepare_gradient_sums).
    pub fn gradient_sums_bytes(&self) -> u64 {
        SUMS_VECTORS * vector_stride(self.features()) * 4
    }

    /// The running mean on the device, C float32, like [`weight`](Self::weight); `None` where it is not tracked.
    pub fn running_mean(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.vectors.get(Role::RunningMean).map(Bound::binding)
    }

    /// The running variance on the device, C float32, like [`weight`](Self::weight); `None` where it is not tracked.
    pub fn running_var(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.vectors.get(Role::RunningVar).map(Bound::binding)
    }

    /// num_batches_tracked on the device, a u32 C times over, which stays at 2³² − 1 once it is there; `None` where
    /// nothing is tracked. To write it, write all of them, as [`set_state`](Self::set_state) does.
    pub fn num_batches_tracked(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.vectors.get(Role::Batches).map(Bound::binding)
    }

    /// Destroys the layer's own buffer, where dropping it would leave its memory to a garbage collector (in browsers).
    /// Steps of the layer become invalid.
    pub fn destroy(self) {
        self.vectors.own.destroy();
    }

    /// A caller's tensor, checked.
    pub(crate) fn bound(
        &self,
        tensor: Tensor,
        binding: &wgpu::BufferBinding<'_>,
        bytes: u64,
    ) -> Result<Bound, PrepareError> {
        if self.vectors.own == *binding.buffer {
            return Err(PrepareError::LayersOwn { tensor });
        }
        Ok(Bound::new(&self.context.profile().bindings(), tensor, binding, bytes)?)
    }

    /// A caller's tensor of the shape, checked.
    pub(super) fn tensor(
        &self,
        tensor: Tensor,
        binding: &TensorBinding<'_>,
        shape: Shape,
        work: Work,
    ) -> Result<BoundTensor, PrepareError> {
        if binding.ranges().iter().any(|range| self.vectors.own == *range.buffer) {
            return Err(PrepareError::LayersOwn { tensor });
        }
        Ok(BoundTensor::new(&self.context.profile().bindings(), tensor, binding, shape, work.storage)?)
    }

    pub(super) fn vector_bytes(&self) -> u64 {
        u64::from(self.features()) * 4
    }
}
