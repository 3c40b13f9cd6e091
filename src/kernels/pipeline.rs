//! A pipeline: a variant compiled for one workgroup.

use super::compose;
use super::device::DeviceError;
use super::table::{Access, Entry};
use super::variant::Variant;
use crate::plan::{Grid, Kernel};

/// A pipeline that the device would not build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The device's compiler refuses it.
    #[error("the device's compiler refuses {kernel}: {message}")]
    Refused {
        /// The variant's name, as [`shaders`](crate::shaders) has it.
        kernel: String,
        /// What wgpu says.
        message: String,
    },
    /// The device is lost or out of memory.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// What a pipeline is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub variant: Variant,
    pub workgroup: u32,
    pub tile: u32,
    /// What is true of the step, for kernels that write gradients.
    pub constants: Constants,
}

/// What a backward step fixes of its shaders' `override` constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Constants {
    /// Whether running statistics normalized.
    pub frozen: bool,
    /// Whether dz is added to what is there.
    pub adds_residual: bool,
}

impl Key {
    pub fn new(variant: Variant, grid: &Grid, step: Constants) -> Self {
        let always = variant.kernel == Kernel::FrozenGradient;
        let constants = Constants {
            frozen: variant.kernel.row().writes_gradients() && (step.frozen || always),
            adds_residual: step.adds_residual && variant.fused.residual_gradient,
        };
        Self { variant, workgroup: grid.workgroup, tile: grid.tile, constants }
    }

    pub fn source(&self) -> String {
        compose::source(&self.variant)
    }

    /// Values of the shader's `override` constants.
    pub fn constants(&self) -> Vec<(&'static str, f64)> {
        let mut constants = vec![("WORKGROUP", self.workgroup.into()), ("TILE", self.tile.into())];
        let Constants { frozen, adds_residual } = self.constants;
        let switches = [("FROZEN", frozen), ("ADDS_RESIDUAL", adds_residual)];
        constants.extend(switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, 1.0)));
        constants
    }
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    /// Of bind group 0 and, where the kernel has one, 1.
    pub layouts: Vec<wgpu::BindGroupLayout>,
}

impl Pipeline {
    #[expect(unsafe_code, reason = "shaders without run-time checks")]
    pub fn build(device: &wgpu::Device, key: &Key, runtime_checks: bool) -> Self {
        let name = key.variant.name();
        let shader = wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(key.source().into()),
        };
        let module = if runtime_checks || key.variant.fused.is_custom() {
            device.create_shader_module(shader)
        } else {
            // SAFETY: no index of the shader is out of range, no divisor is zero, and every loop ends.
            // - Tensors: a `Cursor` begins inside a piece of the tensor or with nothing left, and an invocation with n left
            //   is n steps from the end of its slice; `prepare` binds exactly the piece's bytes after `params.first`
            //   packets, which are fewer than the offset's granule has bytes; the persistent path reads the packet at
            //   `params.first` for what it does not have, and an empty tensor has no such path; the packet divides both
            //   (frame.rs, binding.rs). Sums stay below 2³²: see `MAX_ELEMENTS` of shape.rs.
            // - Tensors of 16-bit values: the packet's index times its bytes is in the tensor as above, and elements are as
            //   long as a packet or divide it. A packet of one value is half of the word index / 2, which the bytes bound
            //   are rounded up to hold (`Shape::bytes_of`), or, as an f16, an element of its own. A store changes no bit of
            //   the other half, whoever writes that meanwhile.
            // - Vectors of C values (weight, bias, running statistics, batches, saved, means, partials, records, gradients):
            //   indexed by a slot that is compared with or clamped to params.slots, in a vector of the layer's, or of the
            //   caller's buffers that `prepare` validates; the packet divides C and the stride. No binding holds more than
            //   2³² float32 (`DeviceProfile::of`), so that no index into one overflows.
            // - No index comes from a buffer of the caller's: all come from params, which the layer writes, and from
            //   built-in values. A length is only compared with a position.
            // - Masks: the packet of number n in its feature is where a `Cursor` has something left, so that its bits are
            //   among the count's, of which `prepare` binds every word; a packet's bits, which divide 32, lie in one word.
            //   mask_of_lengths writes the words that begin before the count, and reads lengths[bit / positions] of bits
            //   before it, which is one of the batch. The flag is one word.
            // - The files of shaders/epilogue index nothing but packets, by k < QUADS, and tensors by the index that their
            //   kernel loads or stores at; an activation gets a value and no index. The caller's own WGSL may do anything,
            //   and keeps the checks (above).
            // - Groups of a dispatch beyond params.groups return at once.
            // - Held packets: indexed by i < HELD, or i + j with j < AHEAD, which divides HELD. Quads and Stats: by k <
            //   QUADS and s < STATS, or by n < stats(), which is STATS, since params.zero is 0.
            // - Workgroup memory: STATS times WORKGROUP Items, of which an invocation takes the one of invocation <
            //   WORKGROUP, of invocation + half < 2 · half ≤ WORKGROUP, or of invocation % TILE.
            // - Shifts are by less than 32 bits. Integer divisors: TILE and WORKGROUP / TILE are at least 1 (frame.rs), and
            //   so are params.plane (debug assertions of params.rs), the packets of a word, and tiles(), which is at least 1
            //   where there are slots.
            // - Loops count up to 32, `left`, `HELD`, `QUADS`, `STATS`, `stats()`, `RUN`, the packets of a segment,
            //   `SEGMENTS`, `SUMS_FAN`, `FAN`, `splits` or the vectors of `save`, or halve WORKGROUP down to TILE ≥ 1.
            // tests/gpu/checks.rs compares both kinds of shader.
            unsafe { device.create_shader_module_trusted(shader, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let layouts = layouts(device, &key.variant);
        let borrowed: Vec<_> = layouts.iter().map(Some).collect();
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&name),
            bind_group_layouts: &borrowed,
            ..Default::default()
        });
        let Entry { entry, .. } = key.variant.kernel.row();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &key.constants(),
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Self { pipeline, layouts }
    }
}

fn layouts(device: &wgpu::Device, variant: &Variant) -> Vec<wgpu::BindGroupLayout> {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let mut groups = vec![vec![entry(0, wgpu::BufferBindingType::Uniform)]];
    for (role, access) in variant.bindings() {
        let (group, binding) = role.place();
        groups.resize(groups.len().max(group as usize + 1), Vec::new());
        let ty = wgpu::BufferBindingType::Storage { read_only: access == Access::Read };
        groups[group as usize].push(entry(binding, ty));
    }
    let create = |entries: &Vec<_>| {
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries })
    };
    groups.iter().map(create).collect()
}
