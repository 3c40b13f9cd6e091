//! A layer whose results are exact, with every binding between guards: its own vectors, the tensors, the gradients and
//! what is saved.

use wgpu_batchnorm::{Activation, BackwardStep, Context, Epilogue, ForwardStep, Shape, StorageType};

mod check;

use super::cases::Case;
use super::guards::Guarded;
use super::steps::{
    self, BATCHES, BIAS, DBIAS, DWEIGHT, DX, DY, DZ, EPS, MASK, MEAN, SAVED, VAR, WEIGHT, X, Y, Z,
};
pub use super::steps::{Placement, Wanted};
use crate::gpu::gpu;
use crate::layout::Layout;
use crate::masks::Masked;
use crate::plans::without_path;
use crate::stored;

/// What stands where something is to be written: a NaN of its own, and two float16 that are none.
const UNWRITTEN: u32 = 0xffc0_feed;
/// What stands in the half of a word behind an odd number of 16-bit values.
const BEHIND: u16 = 0xa5a5;

pub struct Rig {
    pub forward: ForwardStep,
    pub backward: BackwardStep,
    what: String,
    shape: Shape,
    storage: StorageType,
    layout: Layout,
    wanted: Wanted,
    placement: Placement,
    epilogue: Epilogue,
    /// The residual, or zeros.
    z: Vec<f32>,
    stride: usize,
    guarded: Guarded,
    mask: Option<Masked>,
}

pub(crate) fn weight(c: usize) -> f32 {
    2.0 + (c % 3) as f32
}

pub(crate) fn bias(c: usize) -> f32 {
    (c % 5) as f32 - 2.0
}

fn bits(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

/// Whole numbers from −8 to 8 without 0, so that none can be lost unseen, in no order.
pub fn whole_numbers(len: usize, seed: u32) -> Vec<f32> {
    let number = |i: usize| {
        let hash = (i as u32 ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
        let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35) >> 20;
        let magnitude = (hash % 8 + 1) as f32;
        if hash & 8 == 0 { magnitude } else { -magnitude }
    };
    (0..len).map(number).collect()
}

/// The activation of whole numbers, which is exact: halves at the most.
fn activate(activation: Activation, v: f32) -> f32 {
    match activation {
        Activation::Relu => v.max(0.0),
        Activation::LeakyRelu { slope } if v <= 0.0 => v * slope,
        _ => v,
    }
}

fn derivative(activation: Activation, v: f32) -> f32 {
    activate(activation, if v > 0.0 { 1.0 } else { -1.0 }).abs()
}

impl Rig {
    #[track_caller]
    pub fn new(context: &Context, case: Case, wanted: Wanted, placement: Placement) -> Self {
        Self::with(context, case, wanted, placement, Epilogue::default(), None)
    }

    /// With a mask. What is not valid is NaN in x and dy.
    #[track_caller]
    pub fn with_mask(
        context: &Context,
        case: Case,
        wanted: Wanted,
        placement: Placement,
        mask: Masked,
    ) -> Self {
        Self::with(context, case, wanted, placement, Epilogue::default(), Some(mask))
    }

    /// With an epilogue that is exact: ReLU, leaky ReLU of slope 1/2, or none; and a residual, whose gradient is wanted
    /// where dx is.
    #[track_caller]
    pub fn with_epilogue(
        context: &Context,
        case: Case,
        wanted: Wanted,
        placement: Placement,
        epilogue: Epilogue,
    ) -> Self {
        Self::with(context, case, wanted, placement, epilogue, None)
    }

    /// With both.
    #[track_caller]
    pub fn with(
        context: &Context,
        case: Case,
        wanted: Wanted,
        placement: Placement,
        epilogue: Epilogue,
        mask: Option<Masked>,
    ) -> Self {
        let Case { shape, storage, plan } = case;
        let (words, features) = ((shape.bytes_of(storage) / 4) as usize, shape.features() as usize);
        let saved = features.next_multiple_of(64) * 6;
        let mask_words = mask.as_ref().map_or(0, |mask| mask.words.len());
        let lens =
            [&[words; 4][..], &[features; 2], &[saved], &[features; 5], &[words; 2], &[mask_words]].concat();
        let guarded = Guarded::new(placement == Placement::SameBuffer, &lens);
        let plan = if wanted == Wanted::All { plan } else { without_path(plan) };
        let case = Case { plan, ..case };
        let masked = mask.as_ref().map_or(String::new(), |mask| format!(", {:?}", mask.kind));
        let what = format!("{case}, {wanted:?}, {placement:?}, {epilogue:?}{masked}");
        let norm = steps::norm(context, shape, &guarded);
        let forward = steps::forward(&norm, case, &guarded, (wanted, placement), epilogue, mask.as_ref())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let backward = steps::backward(&norm, &forward, plan, &guarded, wanted, placement)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let (layout, stride) = (Layout::of(shape), norm.parameter_stride() as usize);
        let elements = shape.elements() as usize;
        let z = if epilogue.residual { whole_numbers(elements, 7) } else { vec![0.0; elements] };
        let z = if let Some(mask) = &mask { mask.poisoned(z, shape) } else { z };
        Self {
            forward,
            backward,
            what,
            shape,
            storage,
            layout,
            wanted,
            placement,
            epilogue,
            z,
            stride,
            guarded,
            mask,
        }
    }

    /// Writes everything anew.
    pub fn reset(&self, x: &[f32], dy: &[f32]) {
        let c = self.layout.features;
        let (in_place, unwritten) = (self.placement == Placement::InPlace, self.unwritten());
        let x = self.words(x.iter().copied());
        self.guarded.write(X, &x);
        // In place, the backward reads a copy of x.
        self.guarded.write(Y, if in_place { &x } else { &unwritten });
        self.guarded.write(DY, &self.words(dy.iter().copied()));
        self.guarded.write(DX, &unwritten);
        self.guarded.write(Z, &self.words(self.z.iter().copied()));
        self.guarded.write(DZ, &unwritten);
        self.guarded.write(DWEIGHT, &vec![UNWRITTEN; c]);
        self.guarded.write(DBIAS, &vec![UNWRITTEN; c]);
        self.guarded.write(SAVED, &vec![UNWRITTEN; 6 * self.stride]);
        self.guarded.write(WEIGHT, &bits((0..c).map(weight)));
        self.guarded.write(BIAS, &bits((0..c).map(bias)));
        self.guarded.write(MEAN, &vec![0; c]);
        self.guarded.write(VAR, &bits(vec![1.0 - EPS; c]));
        self.guarded.write(BATCHES, &vec![6; c]);
        self.guarded.write(MASK, self.mask.as_ref().map_or(&[], |mask| &mask.words));
    }

    fn is_valid(&self, i: usize) -> bool {
        self.mask.as_ref().is_none_or(|mask| mask.valid[self.layout.position(i)])
    }

    /// 0 where it is not valid.
    fn if_valid(&self, i: usize, value: f32) -> f32 {
        if self.is_valid(i) { value } else { 0.0 }
    }

    /// The words of a tensor of the nearest values to these.
    fn words(&self, values: impl Iterator<Item = f32>) -> Vec<u32> {
        let bits: Vec<u32> = values.map(|value| stored::encode(self.storage, value)).collect();
        stored::words(self.storage, &bits, BEHIND)
    }

    /// A tensor that nothing has written.
    fn unwritten(&self) -> Vec<u32> {
        let (len, half) = (self.shape.elements() as usize, self.storage.bytes() == 2);
        stored::words(self.storage, &vec![if half { UNWRITTEN & 0xffff } else { UNWRITTEN }; len], BEHIND)
    }

    /// Runs forward and backward of these, and holds everything that there is against what must be there.
    #[track_caller]
    pub fn check(&self, x: &[f32], dy: &[f32]) {
        let poisoned = |tensor: &[f32]| match &self.mask {
            Some(mask) => mask.poisoned(tensor.to_vec(), self.shape),
            None => tensor.to_vec(),
        };
        let (x, dy) = (&poisoned(x), &poisoned(dy));
        self.reset(x, dy);
        gpu()
            .run(|pass| {
                self.forward.record(pass);
                self.backward.record(pass);
            })
            .unwrap();
        let got = self.guarded.read(&self.what);
        let activation = self.epilogue.activation;
        let v = |i: usize| {
            let c = self.layout.feature(i);
            x[i] * weight(c) + bias(c) + self.z[i]
        };
        let y = |i| self.if_valid(i, activate(activation, v(i)));
        let g = |i| self.if_valid(i, dy[i] * derivative(activation, v(i)));
        let (y, g): (Vec<f32>, Vec<f32>) = (0..x.len()).map(|i| (y(i), g(i))).unzip();
        self.check_tensors(&got, x, dy, [&y, &g]);
        self.check_gradients(&got, x, &g);
        self.check_layer(&got, x);
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// A value that the storage type has, as has the layer's y of it, such that the mean of one of it is seen.
    pub fn hot(&self) -> f32 {
        if self.storage.bytes() == 2 { 64.0 } else { self.shape.count() as f32 }
    }
}
