//! A layer whose results are exact, with every binding between guards: its own vectors, the tensors, the gradients and
//! what is saved.

use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Context, ForwardStep, LayerBuffers, PlanRequest,
    PrepareError, Shape, Statistics, Training,
};

use super::cases::Case;
use super::guards::Guarded;
use crate::gpu::gpu;
use crate::layer::descriptor;
use crate::layout::{Layout, feature_sums};
use crate::masks::Masked;
use crate::plans::without_path;
use crate::scales::{self, FORWARD};

/// How what is written lies to what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Disjoint,
    SameBuffer,
    /// y takes the place of x, and dx that of dy.
    InPlace,
}

/// What is asked for. Running statistics normalize in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Running statistics move; all gradients. Paths: split, cached, persistent.
    All,
    /// y and dx, both elementwise.
    Tensors,
    /// y, elementwise, and the gradients of weight and bias, by the reduce path.
    Parameters,
}

/// 1 − EPS is the variance that normalizes, so that the inverse of the root is exactly 1.
const EPS: f32 = 1.0 / 1024.0;
/// What stands where something is to be written: a NaN of its own.
const UNWRITTEN: u32 = 0xffc0_dead;

const X: usize = 0;
const Y: usize = 1;
const DY: usize = 2;
const DX: usize = 3;
const DWEIGHT: usize = 4;
const DBIAS: usize = 5;
const SAVED: usize = 6;
const WEIGHT: usize = 7;
const BIAS: usize = 8;
const MEAN: usize = 9;
const VAR: usize = 10;
const BATCHES: usize = 11;
const MASK: usize = 12;

pub struct Rig {
    pub forward: ForwardStep,
    pub backward: BackwardStep,
    what: String,
    shape: Shape,
    layout: Layout,
    wanted: Wanted,
    placement: Placement,
    stride: usize,
    guarded: Guarded,
    mask: Option<Masked>,
}

fn weight(c: usize) -> f32 {
    2.0 + (c % 3) as f32
}

fn bias(c: usize) -> f32 {
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

impl Rig {
    #[track_caller]
    pub fn new(context: &Context, case: Case, wanted: Wanted, placement: Placement) -> Self {
        Self::with_mask(context, case, wanted, placement, None)
    }

    /// The same with a mask. What is not valid is NaN in x and dy.
    #[track_caller]
    pub fn with_mask(
        context: &Context,
        case: Case,
        wanted: Wanted,
        placement: Placement,
        mask: Option<Masked>,
    ) -> Self {
        let Case { shape, plan } = case;
        let (elements, features) = (shape.elements() as usize, shape.features() as usize);
        let saved = features.next_multiple_of(64) * 6;
        let words = mask.as_ref().map_or(0, |mask| mask.words.len());
        let lens = [&[elements; 4][..], &[features; 2], &[saved], &[features; 5], &[words]].concat();
        let guarded = Guarded::new(placement == Placement::SameBuffer, &lens);
        let plan = if wanted == Wanted::All { plan } else { without_path(plan) };
        let masked = if mask.is_some() { ", masked" } else { "" };
        let what = format!("{shape}, [{plan}], {wanted:?}, {placement:?}{masked}");
        let norm = norm(context, shape, &guarded);
        let forward = forward(&norm, shape, plan, &guarded, wanted, placement, mask.as_ref())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let backward = backward(&norm, &forward, plan, &guarded, wanted, placement)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let (layout, stride) = (Layout::of(shape), norm.parameter_stride() as usize);
        Self { forward, backward, what, shape, layout, wanted, placement, stride, guarded, mask }
    }

    /// Writes everything anew.
    pub fn reset(&self, x: &[f32], dy: &[f32]) {
        let c = self.layout.features;
        let (in_place, unwritten) = (self.placement == Placement::InPlace, vec![UNWRITTEN; x.len()]);
        let x = bits(x.iter().copied());
        self.guarded.write(X, &x);
        // In place, the backward reads a copy of x.
        self.guarded.write(Y, if in_place { &x } else { &unwritten });
        self.guarded.write(DY, &bits(dy.iter().copied()));
        self.guarded.write(DX, &unwritten);
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
        self.check_tensors(&got, x, dy);
        self.check_gradients(&got, x, dy);
        self.check_layer(&got, x);
    }

    #[track_caller]
    fn same(&self, name: &str, got: &[u32], want: impl Iterator<Item = u32>) {
        for (i, (&got, want)) in got.iter().zip(want).enumerate() {
            let floats = [got, want].map(f32::from_bits);
            // Zeros of both signs are the same.
            assert!(got == want || floats == [0.0; 2], "{}: {name}[{i}] is {floats:?}", self.what);
        }
    }

    #[track_caller]
    fn check_tensors(&self, got: &[Vec<u32>], x: &[f32], dy: &[f32]) {
        let feature = |i: usize| self.layout.feature(i);
        let y = |(i, x): (usize, &f32)| self.if_valid(i, x * weight(feature(i)) + bias(feature(i))).to_bits();
        let dx = |(i, dy): (usize, &f32)| self.if_valid(i, dy * weight(feature(i))).to_bits();
        let (y, dx) = (x.iter().enumerate().map(y), dy.iter().enumerate().map(dx));
        let (x, dy) = (bits(x.iter().copied()), bits(dy.iter().copied()));
        let unwritten = std::iter::repeat(UNWRITTEN);
        let has_dx = self.wanted != Wanted::Parameters;
        if self.placement == Placement::InPlace {
            self.same("y", &got[X], y);
            self.same("the copy of x", &got[Y], x.into_iter());
            self.same("what is not bound", &got[DX], unwritten);
            match has_dx {
                true => self.same("dx", &got[DY], dx),
                false => self.same("dy", &got[DY], dy.into_iter()),
            }
        } else {
            self.same("x", &got[X], x.into_iter());
            self.same("y", &got[Y], y);
            self.same("dy", &got[DY], dy.into_iter());
            match has_dx {
                true => self.same("dx", &got[DX], dx),
                false => self.same("what is not bound", &got[DX], unwritten),
            }
        }
    }

    #[track_caller]
    fn check_gradients(&self, got: &[Vec<u32>], x: &[f32], dy: &[f32]) {
        let sums = |term: &dyn Fn(usize) -> f32| {
            let sums = feature_sums(self.layout, x.len(), |i| self.if_valid(i, term(i)).into());
            assert!(sums.iter().all(|sum| sum.abs() <= f64::from(1 << 24)), "float32 has no such sum");
            bits(sums.into_iter().map(|sum| sum as f32))
        };
        let (dweight, dbias) = match self.wanted {
            Wanted::Tensors => (vec![UNWRITTEN; self.layout.features], vec![UNWRITTEN; self.layout.features]),
            _ => (sums(&|i| dy[i] * x[i]), sums(&|i| dy[i])),
        };
        self.same("dbias", &got[DBIAS], dbias.into_iter());
        self.same("dweight", &got[DWEIGHT], dweight.into_iter());
    }

    #[track_caller]
    fn check_layer(&self, got: &[Vec<u32>], x: &[f32]) {
        let all = self.layout.count();
        let valid = self.mask.as_ref().map_or(all, |mask| mask.valid.iter().filter(|valid| **valid).count());
        let (c, count) = (self.layout.features, valid as f64);
        self.same("weight", &got[WEIGHT], (0..c).map(|c| weight(c).to_bits()));
        self.same("bias", &got[BIAS], (0..c).map(|c| bias(c).to_bits()));
        let moves = self.wanted == Wanted::All;
        self.same("num_batches_tracked", &got[BATCHES], std::iter::repeat_n(6 + u32::from(moves), c));
        let share = if moves { (1.0 / count) as f32 } else { 0.0 };
        let saved = |c: usize| [0.0, 0.0, 1.0, weight(c), share, bias(c)];
        for (vector, got) in got[SAVED].chunks(self.stride).enumerate() {
            let unwritten = got[c..].iter().all(|&word| word == UNWRITTEN);
            assert!(unwritten, "{}: what is between saved vectors is written", self.what);
            for (c, &got) in got[..c].iter().enumerate() {
                let (got, want) = (f32::from_bits(got), saved(c)[vector]);
                assert!(
                    (got - want).abs() <= want.abs() * 2e-7,
                    "{}: saved {vector} of {c}: {got}",
                    self.what
                );
            }
        }
        if !moves {
            self.same("running mean", &got[MEAN], std::iter::repeat_n(0, c));
            return self.same("running variance", &got[VAR], std::iter::repeat_n((1.0 - EPS).to_bits(), c));
        }
        let mean = feature_sums(self.layout, x.len(), |i| self.if_valid(i, x[i]).into());
        let mean: Vec<f64> = mean.into_iter().map(|sum| sum / count).collect();
        let deviation = |i: usize| f64::from(x[i]) - mean[self.layout.feature(i)];
        let square = |i: usize| if self.is_valid(i) { deviation(i).powi(2) } else { 0.0 };
        let var = feature_sums(self.layout, x.len(), |i| square(i) / (count - 1.0));
        for c in 0..c {
            let near = |name: &str, got: u32, want: f64, error: f64| {
                let got = f64::from(f32::from_bits(got));
                let near = (got - want).abs() <= error;
                assert!(near, "{}: {name} of {c}: {got} for {want}", self.what);
            };
            near("running mean", got[MEAN][c], mean[c], FORWARD * scales::mean(mean[c], var[c]));
            // One value alone at the begin of a slice spoils the shift of its first segment.
            near("running variance", got[VAR][c], var[c], 1e-5 * var[c]);
        }
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }
}

fn norm(context: &Context, shape: Shape, guarded: &Guarded) -> BatchNorm {
    let at = |k| guarded.binding(k);
    let buffers = LayerBuffers::new().weight(at(WEIGHT)).bias(at(BIAS)).running_mean(at(MEAN));
    let buffers = buffers.running_var(at(VAR)).num_batches_tracked(at(BATCHES));
    let replace = BatchNormDescriptor { momentum: Some(1.0), eps: EPS, ..descriptor(shape.features()) };
    BatchNorm::with_buffers(context, &replace, buffers).unwrap()
}

fn forward(
    norm: &BatchNorm,
    shape: Shape,
    plan: PlanRequest,
    guarded: &Guarded,
    wanted: Wanted,
    placement: Placement,
    mask: Option<&Masked>,
) -> Result<ForwardStep, PrepareError> {
    let output = if placement == Placement::InPlace { X } else { Y };
    let mut training = Training::new(guarded.binding(X), guarded.binding(output))
        .statistics(Statistics::Running)
        .update_running(wanted == Wanted::All)
        .saved(guarded.binding(SAVED))
        .plan(plan);
    if let Some(mask) = mask {
        training = training.mask(mask.of(guarded.binding(MASK)));
    }
    norm.prepare_training(shape, training)
}

fn backward(
    norm: &BatchNorm,
    forward: &ForwardStep,
    plan: PlanRequest,
    guarded: &Guarded,
    wanted: Wanted,
    placement: Placement,
) -> Result<BackwardStep, PrepareError> {
    let (input, dx) = if placement == Placement::InPlace { (Y, DY) } else { (X, DX) };
    let mut backward = Backward::of(guarded.binding(DY)).input(guarded.binding(input)).plan(plan);
    if wanted != Wanted::Parameters {
        backward = backward.input_gradient(guarded.binding(dx));
    }
    if wanted != Wanted::Tensors {
        backward = backward.weight_gradient(guarded.binding(DWEIGHT)).bias_gradient(guarded.binding(DBIAS));
    }
    norm.prepare_backward(forward, backward)
}
