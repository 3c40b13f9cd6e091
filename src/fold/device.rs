//! Folding on the device, for weights that live there.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{FoldError, WeightShape};
use crate::kernels::{Context, alive, checked, current, filled};
use crate::layer::BatchNorm;
use crate::tensor::{Bound, Tensor, check_overlaps};

/// The WGSL of [`FoldKernel`].
pub fn shader() -> String {
    let files = [
        ("fold_preceding", include_str!("../../shaders/fold/fold_preceding.wgsl")),
        ("inverse_std", include_str!("../../shaders/forward/inverse_std.wgsl")),
    ];
    files.map(|(name, text)| current(name, text)).join("\n")
}

/// Weight and bias of the layer, four vectors of the batch norm, and what is written.
const STORAGE_BUFFERS: u32 = 8;

/// Twin of `FoldParams` in fold_preceding.wgsl.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct FoldParams {
    total: u32,
    outputs: u32,
    wide: u32,
    out_divisor: u32,
    out_count: u32,
    group_divisor: u32,
    group_count: u32,
    group_inputs: u32,
    has_bias: u32,
    has_norm_weight: u32,
    has_norm_bias: u32,
    eps: f32,
}

/// What is folded on the device, and where to: the layer's weight and, where it has one, its bias, float32.
///
/// The folded tensors must lie in other buffers than those that are read, since WebGPU binds a buffer for reading or for
/// writing. So the layer's own weights stay for training, and the step can be recorded again after it.
#[derive(Debug, Clone)]
pub struct Fold<'a> {
    shape: WeightShape,
    weight: wgpu::BufferBinding<'a>,
    bias: Option<wgpu::BufferBinding<'a>>,
    folded_weight: wgpu::BufferBinding<'a>,
    folded_bias: wgpu::BufferBinding<'a>,
}

impl<'a> Fold<'a> {
    /// Folds into this weight, of a layer without a bias. The folded bias has one value per output.
    pub fn new(
        shape: WeightShape,
        weight: wgpu::BufferBinding<'a>,
        folded_weight: wgpu::BufferBinding<'a>,
        folded_bias: wgpu::BufferBinding<'a>,
    ) -> Self {
        Self { shape, weight, bias: None, folded_weight, folded_bias }
    }

    /// The layer's bias.
    pub fn bias(self, bias: wgpu::BufferBinding<'a>) -> Self {
        Self { bias: Some(bias), ..self }
    }
}

/// The kernel that folds a batch norm into the layer before it, compiled once for a device.
#[derive(Debug, Clone)]
pub struct FoldKernel {
    context: Context,
    pipeline: wgpu::ComputePipeline,
}

impl FoldKernel {
    /// Compiles the kernel, with wgpu's run-time checks.
    ///
    /// # Errors
    /// [`FoldError`], where the device binds fewer storage buffers than the kernel has, is lost or out of memory.
    pub fn new(context: &Context) -> Result<Self, FoldError> {
        let given = context.profile().max_storage_buffers;
        if given < STORAGE_BUFFERS {
            return Err(FoldError::StorageBuffers { required: STORAGE_BUFFERS, given });
        }
        let pipeline = checked(context.device(), || Self::pipeline(context.device()))?;
        alive(context.device())?;
        Ok(Self { context: context.clone(), pipeline })
    }

    fn pipeline(device: &wgpu::Device) -> wgpu::ComputePipeline {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("fold_preceding"),
            source: wgpu::ShaderSource::Wgsl(shader().into()),
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("fold_preceding"),
            layout: None,
            module: &module,
            entry_point: Some("fold_preceding"),
            compilation_options: Default::default(),
            cache: None,
        })
    }

    /// Prepares folding a batch norm of the context's device into the layer before it: the weight times scale, and the bias
    /// with the shift, from the running statistics and parameters that the batch norm has when the step runs. In float32.
    ///
    /// # Errors
    /// [`FoldError`], where the batch norm tracks no running statistics, its features are not the layer's outputs, or a
    /// binding cannot be used. In a binding's error, weight and bias are the layer's that is folded into.
    pub fn prepare(&self, norm: &BatchNorm, fold: &Fold<'_>) -> Result<FoldStep, FoldError> {
        let Fold { shape, .. } = *fold;
        shape.check()?;
        let given = norm.features() as usize;
        if given != shape.outputs {
            return Err(FoldError::Features { channels: "outputs", required: shape.outputs, given });
        }
        let (Some(mean), Some(variance)) = (norm.running_mean(), norm.running_var()) else {
            return Err(FoldError::NotTracked);
        };
        let bound = self.bound(fold)?;
        let vectors = [norm.weight(), norm.bias(), Some(mean), Some(variance.clone())];
        check_buffers(&bound, &vectors)?;
        let (params, workgroups) = params(norm, fold, self.context.profile().max_workgroups);
        let device = self.context.device();
        let usage = wgpu::BufferUsages::UNIFORM;
        let uniform = filled(device, Some("fold: parameters"), bytes_of(&params), usage)?;
        // In the order of fold_preceding.wgsl. What is not there is not read: another vector takes its place.
        let tensors = [Some(bound.weight.binding()), bound.bias.as_ref().map(Bound::binding)];
        let folded = [bound.folded_weight.binding(), bound.folded_bias.binding()].map(Some);
        let all = [Some(uniform.as_entire_buffer_binding())]
            .into_iter()
            .chain(tensors)
            .chain(vectors)
            .chain(folded);
        let entry = |(binding, buffer): (usize, Option<_>)| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: wgpu::BindingResource::Buffer(buffer.unwrap_or_else(|| variance.clone())),
        };
        let entries = all.enumerate().map(entry).collect::<Vec<_>>();
        let group = || {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("fold"),
                layout: &self.pipeline.get_bind_group_layout(0),
                entries: &entries,
            })
        };
        let group = checked(device, group)?;
        alive(device)?;
        Ok(FoldStep { pipeline: self.pipeline.clone(), group, workgroups })
    }

    fn bound(&self, fold: &Fold<'_>) -> Result<FoldBound, FoldError> {
        let limits = self.context.profile().bindings();
        let (weights, outputs) = (fold.shape.elements() as u64, fold.shape.outputs as u64);
        let bound = |tensor, binding: &wgpu::BufferBinding<'_>, values: u64| {
            Bound::new(&limits, tensor, binding, values.saturating_mul(4))
        };
        let bias = fold.bias.as_ref().map(|bias| bound(Tensor::Bias, bias, outputs));
        Ok(FoldBound {
            weight: bound(Tensor::Weight, &fold.weight, weights)?,
            bias: bias.transpose()?,
            folded_weight: bound(Tensor::FoldedWeight, &fold.folded_weight, weights)?,
            folded_bias: bound(Tensor::FoldedBias, &fold.folded_bias, outputs)?,
        })
    }
}

/// The caller's tensors, checked.
struct FoldBound {
    weight: Bound,
    bias: Option<Bound>,
    folded_weight: Bound,
    folded_bias: Bound,
}

/// What is written must lie in other buffers than what is read.
fn check_buffers(bound: &FoldBound, vectors: &[Option<wgpu::BufferBinding<'_>>]) -> Result<(), FoldError> {
    let tensors = [Some(&bound.weight), bound.bias.as_ref()];
    let mut read = tensors.into_iter().flatten().map(|bound| &bound.buffer).collect::<Vec<_>>();
    read.extend(vectors.iter().flatten().map(|vector| vector.buffer));
    for written in [&bound.folded_weight, &bound.folded_bias] {
        if read.contains(&&written.buffer) {
            return Err(FoldError::SameBuffer { tensor: written.tensor });
        }
    }
    Ok(check_overlaps(&[&bound.folded_weight, &bound.folded_bias], &[], &[])?)
}

/// The dispatch's parameters and workgroups.
fn params(norm: &BatchNorm, fold: &Fold<'_>, max_workgroups: u32) -> (FoldParams, [u32; 2]) {
    let WeightShape { outputs, inputs, taps, groups, transposed, outputs_last } = fold.shape;
    let (outs, ins) = (outputs / groups, inputs / groups);
    let (out_divisor, out_count, group_divisor, group_count) = match (transposed, outputs_last) {
        (false, false) => (ins * taps, outputs, 1, 1),
        (false, true) => (1, outputs, 1, 1),
        (true, false) => (taps, outs, outs * taps, inputs),
        (true, true) => (inputs, outs, 1, inputs),
    };
    let total = fold.shape.elements();
    let workgroups = total.max(outputs).div_ceil(64) as u32;
    let high = workgroups.div_ceil(max_workgroups).max(1);
    let wide = workgroups.div_ceil(high);
    // Divisors are at least 1, also where there is no weight.
    let size = |size: usize| size.max(1) as u32;
    let params = FoldParams {
        total: total as u32,
        outputs: outputs as u32,
        wide,
        out_divisor: size(out_divisor),
        out_count: size(out_count),
        group_divisor: size(group_divisor),
        group_count: size(group_count),
        group_inputs: size(ins),
        has_bias: fold.bias.is_some().into(),
        has_norm_weight: norm.weight().is_some().into(),
        has_norm_bias: norm.bias().is_some().into(),
        eps: norm.descriptor().eps,
    };
    (params, [wide, high])
}

/// A prepared folding.
#[derive(Debug)]
pub struct FoldStep {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    workgroups: [u32; 2],
}

impl FoldStep {
    /// Records the step's dispatch: once after each change of the weights or the batch norm. Allocates nothing, submits
    /// nothing, cannot fail. Sets bind group 0.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y] = self.workgroups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }
}
