//! A layer run once on a batch that comes in parts, with everything in buffers of the caller's, between guards.

use wgpu_batchnorm::{
    Backward, BatchNorm, Evaluation, Finalize, FinalizeGradients, Moments, PlanRequest, Shape,
};

use crate::coverage::guards::Guarded;
use crate::gpu::gpu;
use crate::layer::read_state;
use crate::train::Trained;

/// How the parts of a batch leave what is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Each in a record of its own.
    Each,
    /// All in one record, one after the other.
    One,
}

/// How a batch is cut into parts, and where they are.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    /// Examples of each part.
    pub sizes: &'a [u32],
    pub records: Records,
    /// Whether all buffers are one.
    pub one_buffer: bool,
    pub plan: PlanRequest,
}

/// Places in the buffers, of which the parts' tensors follow: x, y, dy and dx of each.
const MOMENTS: usize = 0;
const SUMS: usize = 1;
const SAVED: usize = 2;
const DWEIGHT: usize = 3;
const DBIAS: usize = 4;
const TENSORS: usize = 5;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|word| f32::from_bits(*word)).collect()
}

/// Buffers of a batch in parts, x and dy uploaded.
fn buffers(norm: &BatchNorm, shapes: &[Shape], cut: &Cut<'_>, x: &[f32], dy: &[f32]) -> Guarded {
    let records = if cut.records == Records::Each { shapes.len() } else { 1 };
    let words = |bytes: u64| bytes as usize / 4;
    let c = norm.features() as usize;
    let (moments, sums) = (words(norm.moments_bytes()), words(norm.gradient_sums_bytes()));
    let mut lens = vec![moments * records, sums * records, words(norm.saved_bytes()), c, c];
    // Of a part without examples something is bound all the same.
    lens.extend(shapes.iter().flat_map(|shape| [shape.elements().max(1) as usize; 4]));
    let buffers = Guarded::new(cut.one_buffer, &lens);
    let mut next = 0;
    for (k, shape) in shapes.iter().enumerate() {
        let values = next..next + shape.elements() as usize;
        next = values.end;
        if !values.is_empty() {
            buffers.write(TENSORS + 4 * k, &bits(&x[values.clone()]));
            buffers.write(TENSORS + 4 * k + 2, &bits(&dy[values]));
        }
    }
    buffers
}

/// A training step and its backward over a batch in parts. `shape` is that of so many examples.
#[track_caller]
pub fn train(norm: &BatchNorm, shape: impl Fn(u32) -> Shape, cut: Cut<'_>, x: &[f32], dy: &[f32]) -> Trained {
    let shapes: Vec<Shape> = cut.sizes.iter().map(|&size| shape(size)).collect();
    let buffers = buffers(norm, &shapes, &cut, x, dy);
    let tensor = |k: usize, which: usize| buffers.binding(TENSORS + 4 * k + which);
    let (each, count) = match cut.records {
        Records::Each => (true, shapes.len() as u32),
        Records::One => (false, 1),
    };
    let record = |place, k: usize, bytes: u64| {
        let mut binding = buffers.binding(place);
        binding.offset += if each { k as u64 * bytes } else { 0 };
        binding.size = wgpu_batchnorm::wgpu::BufferSize::new(bytes);
        binding
    };
    let moments = |(k, shape): (usize, &Shape)| {
        let moments = Moments::new(tensor(k, 0), record(MOMENTS, k, norm.moments_bytes()));
        norm.prepare_moments(*shape, moments.accumulate(!each && k > 0).plan(cut.plan)).unwrap()
    };
    let moments: Vec<_> = shapes.iter().enumerate().map(moments).collect();
    let finalize = Finalize::new(buffers.binding(MOMENTS), count).saved(buffers.binding(SAVED));
    let finalize = norm.prepare_finalize(finalize).unwrap();
    let apply = |(k, shape): (usize, &Shape)| {
        norm.prepare_apply(&finalize, *shape, Evaluation::new(tensor(k, 0), tensor(k, 1))).unwrap()
    };
    let apply: Vec<_> = shapes.iter().enumerate().map(apply).collect();
    let sums = |k: usize| {
        let backward = Backward::of(tensor(k, 2)).accumulate(!each && k > 0).plan(cut.plan);
        let record = record(SUMS, k, norm.gradient_sums_bytes());
        norm.prepare_gradient_sums(&apply[k], backward, record).unwrap()
    };
    let sums: Vec<_> = (0..shapes.len()).map(sums).collect();
    let gradients = FinalizeGradients::new(buffers.binding(SUMS), count)
        .weight_gradient(buffers.binding(DWEIGHT))
        .bias_gradient(buffers.binding(DBIAS));
    let finalize_gradients = norm.prepare_finalize_gradients(&finalize, gradients).unwrap();
    let input_gradient = |k: usize| {
        let backward = Backward::of(tensor(k, 2)).input_gradient(tensor(k, 3));
        norm.prepare_input_gradient(&apply[k], &finalize_gradients, backward).unwrap()
    };
    let input_gradient: Vec<_> = (0..shapes.len()).map(input_gradient).collect();
    gpu()
        .run(|pass| {
            moments.iter().for_each(|step| step.record(pass));
            finalize.record(pass);
            apply.iter().for_each(|step| step.record(pass));
            sums.iter().for_each(|step| step.record(pass));
            finalize_gradients.record(pass);
            input_gradient.iter().for_each(|step| step.record(pass));
        })
        .unwrap();
    let read = buffers.read(&format!("{cut:?}"));
    let joined = |which: usize| {
        let of_part =
            |(k, shape): (usize, &Shape)| floats(&read[TENSORS + 4 * k + which][..shape.elements() as usize]);
        shapes.iter().enumerate().flat_map(of_part).collect()
    };
    Trained {
        y: joined(1),
        dx: joined(3),
        dweight: floats(&read[DWEIGHT]),
        dbias: floats(&read[DBIAS]),
        state: read_state(norm),
    }
}
