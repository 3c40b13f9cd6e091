//! Masks: drawn, laid out as the device reads them, and results held against the CPU reference under them.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use wgpu_batchnorm::{Mask, MaskKind, Shape, cpu, wgpu};

use crate::close::{assert_close, assert_state};
use crate::gpu::{gpu, whole};
use crate::layout::Layout;
use crate::scales::{BACKWARD, FORWARD, Pass};
use crate::train::Trained;

/// Which examples and positions are valid, and the words that say so on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Masked {
    pub kind: MaskKind,
    pub valid: Vec<bool>,
    pub words: Vec<u32>,
}

impl Masked {
    /// A bit for each example and position. Bits beyond the last are 1.
    pub fn positions(valid: Vec<bool>) -> Self {
        let word = |bits: &[bool]| {
            let set = |i: usize| u32::from(*bits.get(i).unwrap_or(&true)) << i;
            (0..32).map(set).sum()
        };
        Self { kind: MaskKind::Positions, words: valid.chunks(32).map(word).collect(), valid }
    }

    /// A length per example.
    pub fn lengths(shape: Shape, lengths: Vec<u32>) -> Self {
        let positions = shape.positions();
        assert_eq!(lengths.len(), shape.batch() as usize);
        let of = |length: u32| (0..positions).map(move |position| position < length.into());
        let valid = lengths.iter().copied().flat_map(of).collect();
        Self { kind: MaskKind::Lengths, valid, words: lengths }
    }

    /// Bits that are 1 with this probability.
    pub fn random(shape: Shape, share: f64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self::positions((0..shape.count()).map(|_| rng.random_bool(share)).collect())
    }

    /// Lengths from 0 to one more than there are positions; 2³² − 1 among them.
    pub fn random_lengths(shape: Shape, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let most = shape.positions() as u32 + 1;
        let mut lengths: Vec<u32> = (0..shape.batch()).map(|_| rng.random_range(0..=most)).collect();
        if let Some(first) = lengths.first_mut() {
            *first = u32::MAX;
        }
        Self::lengths(shape, lengths)
    }

    pub fn upload(&self) -> wgpu::Buffer {
        let words: Vec<f32> = self.words.iter().copied().map(f32::from_bits).collect();
        gpu().upload(&words)
    }

    /// As the layer takes it.
    pub fn of<'a>(&self, binding: wgpu::BufferBinding<'a>) -> Mask<'a> {
        match self.kind {
            MaskKind::Lengths => Mask::Lengths(binding),
            MaskKind::Positions => Mask::Positions(binding),
        }
    }

    pub fn whole<'a>(&self, buffer: &'a wgpu::Buffer) -> Mask<'a> {
        self.of(whole(buffer))
    }

    /// The tensor with a NaN wherever it is not valid, so that nothing of it may be used.
    pub fn poisoned(&self, mut tensor: Vec<f32>, shape: Shape) -> Vec<f32> {
        let layout = Layout::of(shape);
        for (i, value) in tensor.iter_mut().enumerate() {
            if !self.valid[layout.position(i)] {
                *value = f32::NAN;
            }
        }
        tensor
    }
}

/// Holds y against what the CPU reference returned for the same x and mask.
#[track_caller]
pub fn assert_masked_output(
    what: &str,
    got: &[f32],
    shape: Shape,
    x: &[f32],
    valid: &[bool],
    want: &cpu::Forward,
) {
    let layout = Layout::of(shape);
    let scale = Pass::of(x, shape, &want.saved).with_valid(Some(valid)).output(&want.y, |i| i);
    assert_close(&format!("{what}: y"), got, &want.y, |i| scale[layout.feature(i)], FORWARD);
    assert_padding(&format!("{what}: y"), got, layout, valid);
}

/// Holds a training step under a mask, and its backward, against the CPU reference, whose layer it moves.
#[track_caller]
pub fn assert_masked(
    what: &str,
    got: &Trained,
    shape: Shape,
    layer: &mut cpu::Layer,
    [x, dy]: [&[f32]; 2],
    options: &cpu::Options<'_>,
    valid: &[bool],
) {
    let options = options.valid(valid);
    let forward = cpu::train(x, shape, layer, &options);
    assert_masked_output(what, &got.y, shape, x, valid, &forward);
    assert_state(what, &got.state, layer, FORWARD);

    let (saved, layout) = (&forward.saved, Layout::of(shape));
    let cpu::Gradients { dx, dz, sums } = cpu::backward(x, dy, shape, saved, &options);
    let scales = Pass::of(x, shape, saved).with_valid(Some(valid)).gradients(&dz);
    assert_close(&format!("{what}: dx"), &got.dx, &dx, |i| scales.dx[layout.feature(i)], BACKWARD);
    assert_padding(&format!("{what}: dx"), &got.dx, layout, valid);
    let (dbias, dweight): (Vec<f64>, Vec<f64>) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
    assert_close(&format!("{what}: dweight"), &got.dweight, &dweight, |c| scales.dweight[c], BACKWARD);
    assert_close(&format!("{what}: dbias"), &got.dbias, &dbias, |c| scales.dbias[c], BACKWARD);
}

/// That padding is 0.
#[track_caller]
fn assert_padding(what: &str, got: &[f32], layout: Layout, valid: &[bool]) {
    let padding = got.iter().enumerate().find(|(i, v)| !valid[layout.position(*i)] && **v != 0.0);
    assert!(padding.is_none(), "{what} of padding: {padding:?}");
}
