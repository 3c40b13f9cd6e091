//! The tensors of a step, in ranges between guards, and everything else that a caller gives.

use wgpu_batchnorm::wgpu::{BufferBinding, BufferSize};
use wgpu_batchnorm::{Mask, TensorBinding};

use super::truth::Data;
use super::{Ask, BEFORE, Placement};
use crate::coverage::guards::Guarded;
use crate::masks::Masked;
use crate::stored;

/// A tensor; each lies in as many ranges as the ask has cuts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    X,
    Y,
    Z,
    Dy,
    Dx,
    Dz,
    /// Of what y takes the place of.
    Copy,
}

const TENSORS: usize = 7;

/// What is one range. Masks of the cuts follow.
#[derive(Clone, Copy)]
pub enum Vector {
    DWeight,
    DBias,
    Flag,
    /// Records of moments and gradient sums of all parts.
    Moments,
    Sums,
}

const VECTORS: usize = 5;

pub struct Tensors {
    guarded: Guarded,
    cuts: Vec<u32>,
    masks: Vec<Option<Masked>>,
    placement: Placement,
}

impl Tensors {
    /// `records` are the bytes of a record of moments, and of one of gradient sums.
    pub fn new(ask: &Ask, data: &Data, records: [u64; 2]) -> Self {
        let cuts = ask.cuts();
        // Of a part without examples something is bound all the same.
        let words = |examples: u32| (ask.of_examples(examples).bytes_of(ask.storage) as usize / 4).max(1);
        let masks = data.masks(ask);
        let c = ask.shape.features() as usize;
        let mut lens: Vec<usize> = cuts.iter().flat_map(|&examples| [words(examples); TENSORS]).collect();
        lens.extend([c, c, 1]);
        lens.extend(records.map(|bytes| bytes as usize / 4 * cuts.len()));
        lens.extend(masks.iter().map(|mask| mask.as_ref().map_or(1, |mask| mask.words.len().max(1))));
        let one_buffer = ask.placement == Placement::SameBuffer;
        let guarded = Guarded::with_margin(one_buffer, ask.offset as usize / 4, &lens, ask.garbage);
        let all = Self { guarded, cuts, masks, placement: ask.placement };
        all.fill(ask, data);
        all
    }

    fn fill(&self, ask: &Ask, data: &Data) {
        let unwritten = vec![BEFORE; data.x.len()];
        let copy = if ask.placement == Placement::InPlace { &data.x } else { &data.z };
        let all = [&data.x, &unwritten, &data.z, &data.dy, &unwritten, &unwritten, copy];
        let mut next = 0;
        for (k, &examples) in self.cuts.iter().enumerate() {
            let values = next..next + ask.of_examples(examples).elements() as usize;
            next = values.end;
            if values.is_empty() {
                continue;
            }
            for (which, tensor) in all.iter().enumerate() {
                let bits: Vec<u32> =
                    tensor[values.clone()].iter().map(|&v| stored::encode(ask.storage, v)).collect();
                self.guarded.write(k * TENSORS + which, &stored::words(ask.storage, &bits, 0));
            }
            if let Some(mask) = self.masks[k].as_ref() {
                self.guarded.write(self.mask_at(k), &mask.words);
            }
        }
        let before = vec![BEFORE.to_bits(); ask.shape.features() as usize];
        for vector in [Vector::DWeight, Vector::DBias] {
            self.guarded.write(self.vector_at(vector), &before);
        }
        self.guarded.write(self.vector_at(Vector::Flag), &[ask.flag.unwrap_or(0)]);
    }

    fn vector_at(&self, vector: Vector) -> usize {
        self.cuts.len() * TENSORS + vector as usize
    }

    fn mask_at(&self, k: usize) -> usize {
        self.cuts.len() * TENSORS + VECTORS + k
    }

    /// Where a tensor is, whose place another may have.
    fn placed(&self, which: Which) -> Which {
        match (self.placement, which) {
            (Placement::InPlace, Which::Y) => Which::X,
            (Placement::InPlace, Which::Dx) | (Placement::ResidualInPlace, Which::Dz) => Which::Dy,
            (Placement::ResidualInPlace, Which::Y) => Which::Z,
            _ => which,
        }
    }

    /// A range of a tensor.
    pub fn cut(&self, which: Which, k: usize) -> BufferBinding<'_> {
        self.guarded.binding(k * TENSORS + self.placed(which) as usize)
    }

    /// A tensor in all its ranges.
    pub fn all(&self, which: Which) -> TensorBinding<'_> {
        (0..self.cuts.len()).map(|k| self.cut(which, k)).collect::<Vec<_>>().into()
    }

    pub fn vector(&self, vector: Vector) -> BufferBinding<'_> {
        self.guarded.binding(self.vector_at(vector))
    }

    /// The record of a part, of so many bytes.
    pub fn record(&self, vector: Vector, k: usize, bytes: u64) -> BufferBinding<'_> {
        let mut binding = self.vector(vector);
        binding.offset += k as u64 * bytes;
        binding.size = BufferSize::new(bytes);
        binding
    }

    /// The mask of a range.
    pub fn mask(&self, k: usize) -> Option<Mask<'_>> {
        self.masks[k].as_ref().map(|mask| mask.of(self.guarded.binding(self.mask_at(k))))
    }

    /// The values of y, dx and dz, and the gradients of weight and bias. Panics where something else was written.
    pub fn read(&self, what: &str, ask: &Ask) -> super::Got {
        let words = self.guarded.read(what);
        let tensor = |which: Which| {
            let of = |(k, &examples): (usize, &u32)| {
                let len = ask.of_examples(examples).elements() as usize;
                let bits = stored::bits(ask.storage, &words[k * TENSORS + self.placed(which) as usize], len);
                bits.into_iter().map(|bits| stored::decode(ask.storage, bits)).collect::<Vec<f32>>()
            };
            self.cuts.iter().enumerate().flat_map(of).collect()
        };
        let vector = |v| words[self.vector_at(v)].iter().map(|&word| f32::from_bits(word)).collect();
        super::Got {
            y: tensor(Which::Y),
            dx: tensor(Which::Dx),
            dz: tensor(Which::Dz),
            dweight: vector(Vector::DWeight),
            dbias: vector(Vector::DBias),
        }
    }
}
