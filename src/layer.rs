//! The layer: its parameters and running statistics on the device.

use bytemuck::cast_slice;
use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::binding::Bound;
use crate::descriptor::BatchNormDescriptor;
use crate::error::{DescriptorError, PrepareError, Tensor};
use crate::kernels::Context;
use crate::plan::vector_stride;
use crate::state::State;

/// A batch-normalization layer on a device: weight, bias, running statistics, and the calls that prepare its work.
///
/// Training and evaluation are different calls, [`prepare_training`](Self::prepare_training) and
/// [`prepare_evaluation`](Self::prepare_evaluation). Each validates and allocates, once per shape and set of buffers;
/// what it returns is recorded into the caller's compute pass as often as wanted.
#[derive(Debug)]
pub struct BatchNorm {
    pub(crate) context: Context,
    pub(crate) label: Option<String>,
    pub(crate) descriptor: BatchNormDescriptor<'static>,
    /// weight, bias, running_mean and running_var, `stride` float32 apart.
    pub(crate) state: wgpu::Buffer,
    pub(crate) stride: u32,
    /// num_batches_tracked, once per feature.
    pub(crate) batches: wgpu::Buffer,
}

/// Where the vectors of the state begin, in strides.
pub(crate) const WEIGHT: u64 = 0;
pub(crate) const BIAS: u64 = 1;
pub(crate) const RUNNING_MEAN: u64 = 2;
pub(crate) const RUNNING_VAR: u64 = 3;

impl BatchNorm {
    /// A layer with weight 1, bias 0, running mean 0, running variance 1 and no batch tracked, as PyTorch's.
    ///
    /// Builds no pipeline: layers of the same context share those, and they are built when first needed.
    ///
    /// # Errors
    /// [`DescriptorError`], where a field of the descriptor is out of range or the state does not fit the device.
    pub fn new(context: &Context, descriptor: &BatchNormDescriptor<'_>) -> Result<Self, DescriptorError> {
        descriptor.validate()?;
        let features = descriptor.features;
        let stride = vector_stride(features);
        if !context.machine().computes() {
            return Err(DescriptorError::NoCompute);
        }
        // The state, and the count of batches when it is read back.
        let (required, limit) = (4 * 4 * stride + 4, context.machine().max_binding);
        if required > limit {
            return Err(DescriptorError::TooManyFeatures { features, required, limit });
        }
        let device = context.device();
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let mut state = vec![0.0f32; 4 * stride as usize];
        for vector in [WEIGHT, RUNNING_VAR] {
            state[(vector * stride) as usize..][..features as usize].fill(1.0);
        }
        let create = |contents: &[u8]| {
            device.create_buffer_init(&BufferInitDescriptor { label: descriptor.label, contents, usage })
        };
        Ok(Self {
            context: context.clone(),
            label: descriptor.label.map(str::to_owned),
            descriptor: BatchNormDescriptor { label: None, ..*descriptor },
            state: create(cast_slice(&state)),
            stride: stride as u32,
            batches: create(cast_slice(&vec![0u32; stride as usize])),
        })
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

    /// The weight γ on the device, C float32, for the optimizer to read and write; `None` without one.
    ///
    /// All vectors of the state are ranges of one buffer (`STORAGE`, `COPY_SRC`, `COPY_DST`), 256 bytes aligned.
    /// WebGPU forbids to bind one of them as read-only and another as read-write in the same dispatch.
    pub fn weight(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.descriptor.weight.then(|| self.vector(WEIGHT))
    }

    /// The bias β on the device, C float32, like [`weight`](Self::weight).
    pub fn bias(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.descriptor.bias.then(|| self.vector(BIAS))
    }

    /// The running mean on the device, C float32, like [`weight`](Self::weight); `None` where it is not tracked.
    pub fn running_mean(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.descriptor.track_running_stats.then(|| self.vector(RUNNING_MEAN))
    }

    /// The running variance on the device, C float32, like [`weight`](Self::weight); `None` where it is not tracked.
    pub fn running_var(&self) -> Option<wgpu::BufferBinding<'_>> {
        self.descriptor.track_running_stats.then(|| self.vector(RUNNING_VAR))
    }

    /// num_batches_tracked on the device, a u32 C times over (`STORAGE`, `COPY_SRC`, `COPY_DST`); `None` where nothing
    /// is tracked. To write it, write all of them, as [`set_state`](Self::set_state) does.
    pub fn num_batches_tracked(&self) -> Option<wgpu::BufferBinding<'_>> {
        let size = std::num::NonZeroU64::new(self.vector_bytes());
        let counts = wgpu::BufferBinding { buffer: &self.batches, offset: 0, size };
        self.descriptor.track_running_stats.then_some(counts)
    }

    /// A caller's tensor, checked.
    pub(crate) fn bound(
        &self,
        tensor: Tensor,
        binding: &wgpu::BufferBinding<'_>,
        bytes: u64,
    ) -> Result<Bound, PrepareError> {
        if [&self.state, &self.batches].contains(&binding.buffer) {
            return Err(PrepareError::LayersOwn { tensor });
        }
        Bound::new(self.context.machine(), tensor, binding, bytes)
    }

    pub(crate) fn vector_bytes(&self) -> u64 {
        u64::from(self.features()) * 4
    }

    pub(crate) fn vector_offset(&self, vector: u64) -> u64 {
        vector * u64::from(self.stride) * 4
    }

    fn vector(&self, vector: u64) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: &self.state,
            offset: self.vector_offset(vector),
            size: std::num::NonZeroU64::new(self.vector_bytes()),
        }
    }

    /// The vectors of the state that the layer has, where they begin, and their part of a [`State`].
    pub(crate) fn vectors<'a>(
        &self,
        state: &'a mut State,
    ) -> [(&'static str, u64, bool, &'a mut Vec<f32>); 4] {
        let BatchNormDescriptor { weight, bias, track_running_stats: track, .. } = self.descriptor;
        [
            ("weight", WEIGHT, weight, &mut state.weight),
            ("bias", BIAS, bias, &mut state.bias),
            ("running_mean", RUNNING_MEAN, track, &mut state.running_mean),
            ("running_var", RUNNING_VAR, track, &mut state.running_var),
        ]
    }
}
