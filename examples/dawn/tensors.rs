//! Where the tensors of a case lie.

use testkit::stored::{encode, words};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu;

use crate::problem::Problem;

/// How tensors lie in buffers; each way is a shader of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Each in a buffer of its own.
    Separate,
    /// All in one buffer.
    Shared,
    /// y over a copy of x, dx over dy.
    InPlace,
    /// y over a copy of z, dz over dy.
    ResidualInPlace,
}

/// A range of a buffer.
#[derive(Clone)]
pub struct Range {
    buffer: wgpu::Buffer,
    offset: u64,
    size: u64,
}

impl Range {
    pub fn whole(buffer: &wgpu::Buffer) -> Self {
        Self { buffer: buffer.clone(), offset: 0, size: buffer.size() }
    }

    /// So many bytes of it, after so many others.
    pub fn part(&self, first: u64, size: u64) -> Self {
        Self { buffer: self.buffer.clone(), offset: self.offset + first, size }
    }

    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        let Self { buffer, offset, size } = self;
        wgpu::BufferBinding { buffer, offset: *offset, size: wgpu::BufferSize::new(*size) }
    }
}

pub struct Tensors {
    /// x as the forward step reads it.
    pub input: Range,
    pub output: Range,
    /// x as the backward step reads it: the same, but where y has taken its place.
    pub kept_input: Range,
    pub output_gradient: Range,
    pub input_gradient: Range,
    /// z as the forward step reads it, as the backward step does, and dz.
    pub residual: Range,
    pub kept_residual: Range,
    pub residual_gradient: Range,
    pub weight_gradient: Range,
    pub bias_gradient: Range,
    /// Where a training step saves what its backward needs, if not in the context's memory.
    pub saved: Option<Range>,
    pub mask: Range,
    /// Whether running statistics move, where the device decides.
    pub flag: Range,
}

impl Tensors {
    /// The gradients of weight and bias hold `before` to begin with.
    pub fn new(
        gpu: &Gpu,
        problem: &Problem,
        saved_bytes: u64,
        placement: Placement,
        before: f32,
        flag: u32,
    ) -> Self {
        let stored = |values: &[f32]| {
            let bits: Vec<u32> = values.iter().map(|&value| encode(problem.storage, value)).collect();
            words(problem.storage, &bits, 0)
        };
        let (x, dy, z) = (&stored(&problem.x), stored(&problem.dy), &stored(&problem.z));
        let zeros = vec![0; x.len()];
        let gradient = vec![before.to_bits(); problem.extent.features as usize];
        let saved = vec![0; saved_bytes as usize / 4];
        let mask = problem.mask.as_ref().map_or(&[][..], |mask| &mask.words);
        let parts: [&[u32]; 11] =
            [x, &zeros, &dy, &zeros, z, &zeros, &gradient, &gradient, &saved, mask, &[flag]];
        let parts = match placement {
            Placement::Shared => in_one_buffer(gpu, parts),
            _ => parts.map(|part| in_its_own_buffer(gpu, part)),
        };
        let [input, output, output_gradient, input_gradient, residual, residual_gradient, ..] = parts.clone();
        let [.., weight_gradient, bias_gradient, saved, mask, flag] = parts;
        let tensors = Self {
            kept_input: input.clone(),
            input,
            output,
            output_gradient,
            input_gradient,
            kept_residual: residual.clone(),
            residual,
            residual_gradient,
            weight_gradient,
            bias_gradient,
            saved: (placement == Placement::Shared).then_some(saved),
            mask,
            flag,
        };
        match placement {
            Placement::Separate | Placement::Shared => tensors,
            Placement::InPlace => Self {
                kept_input: in_its_own_buffer(gpu, x),
                output: tensors.input.clone(),
                input_gradient: tensors.output_gradient.clone(),
                ..tensors
            },
            Placement::ResidualInPlace => Self {
                kept_residual: in_its_own_buffer(gpu, z),
                output: tensors.residual.clone(),
                residual_gradient: tensors.output_gradient.clone(),
                ..tensors
            },
        }
    }
}

fn upload(gpu: &Gpu, words: &[u32]) -> wgpu::Buffer {
    // No buffer is empty.
    let buffer = gpu.empty(words.len().max(1));
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    buffer
}

pub fn in_its_own_buffer(gpu: &Gpu, words: &[u32]) -> Range {
    Range { buffer: upload(gpu, words), offset: 0, size: words.len() as u64 * 4 }
}

pub fn in_one_buffer<const N: usize>(gpu: &Gpu, parts: [&[u32]; N]) -> [Range; N] {
    // A margin before and between them, 256 bytes aligned as bindings have to be.
    let mut values = vec![0; 64];
    let offsets = parts.map(|part| {
        let offset = values.len();
        values.extend_from_slice(part);
        values.resize(values.len().next_multiple_of(64) + 64, 0);
        offset
    });
    let buffer = upload(gpu, &values);
    std::array::from_fn(|i| Range {
        buffer: buffer.clone(),
        offset: offsets[i] as u64 * 4,
        size: parts[i].len() as u64 * 4,
    })
}
