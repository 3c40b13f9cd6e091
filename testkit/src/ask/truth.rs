//! What an ask is made of, and what the CPU twin says of it.

use std::ops::Range;

use wgpu_batchnorm::{Activation, BatchNormDescriptor, MaskKind, Shape, State, Statistics, cpu};

use super::{Ask, BEFORE, Batch, Mode, twin};
use crate::close::max_abs;
use crate::coverage::rig::{bias, weight, whole_numbers};
use crate::coverage::steps::EPS;
use crate::layer::descriptor;
use crate::layout::Layout;
use crate::masks::Masked;
use crate::random::{state, tensor};
use crate::scales::Pass;
use crate::storage::rounded;

/// Tensors of values that the storage type has.
pub struct Data {
    pub x: Vec<f32>,
    pub z: Vec<f32>,
    pub dy: Vec<f32>,
    pub mask: Option<Masked>,
}

impl Data {
    /// Of the ask's seed. What is padding is NaN; so is one value of the first feature, where a guard has to see it.
    pub fn new(ask: &Ask) -> Self {
        let [x, z, dy] = [2, 3, 4].map(|k| match ask.exact {
            true => whole_numbers(ask.shape.elements() as usize, (ask.seed + k) as u32),
            false => rounded(&tensor(ask.shape, ask.seed + k), ask.storage),
        });
        let mask = ask.mask.map(|kind| match kind {
            MaskKind::Lengths => Masked::random_lengths(ask.shape, ask.seed + 5),
            MaskKind::Positions => Masked::random(ask.shape, 0.7, ask.seed + 6),
        });
        let mut data = Self { x, z, dy, mask };
        data.avoid_kinks(ask);
        if let Some(mask) = &data.mask {
            for tensor in [&mut data.x, &mut data.z, &mut data.dy] {
                *tensor = mask.poisoned(std::mem::take(tensor), ask.shape);
            }
        }
        if ask.guard {
            let layout = Layout::of(ask.shape);
            let first = |i: &usize| layout.feature(*i) == 0 && !data.x[*i].is_nan();
            (0..data.x.len()).find(first).into_iter().for_each(|i| data.x[i] = f32::NAN);
        }
        data
    }

    /// Takes dy off where the activation is given next to nothing: there rounding may decide of a derivative.
    fn avoid_kinks(&mut self, ask: &Ask) {
        let before = Ask { activation: Activation::Identity, ..*ask };
        let v = Truth::of(&before, self).y;
        let near = 2e-6 * max_abs(&v);
        for (dy, v) in self.dy.iter_mut().zip(v) {
            *dy = if v.abs() < near { 0.0 } else { *dy };
        }
    }

    /// The mask of each part. A tensor in ranges has one, which stands by the first of them.
    pub fn masks(&self, ask: &Ask) -> Vec<Option<Masked>> {
        let (positions, cuts) = (ask.shape.positions() as usize, ask.cuts());
        let Some(mask) = &self.mask else { return cuts.iter().map(|_| None).collect() };
        if ask.batch != Batch::Parts {
            return (0..cuts.len()).map(|k| (k == 0).then(|| mask.clone())).collect();
        }
        let mut next = 0;
        let of_part = |&examples: &u32| {
            let range = next..next + examples as usize;
            next = range.end;
            Some(match mask.kind {
                MaskKind::Lengths => Masked::lengths(ask.of_examples(examples), mask.words[range].to_vec()),
                MaskKind::Positions => {
                    Masked::positions(mask.valid[range.start * positions..range.end * positions].to_vec())
                }
            })
        };
        cuts.iter().map(of_part).collect()
    }

    fn options(&self, ask: &Ask) -> cpu::Options<'_> {
        let statistics = if ask.mode == Mode::Training { Statistics::Batch } else { Statistics::Running };
        let options = cpu::Options::default().statistics(statistics).activation(twin(ask.activation));
        let options = options.skip_non_finite(ask.guard).commit(ask.flag != Some(0));
        let options = self.mask.iter().fold(options, |options, mask| options.valid(&mask.valid));
        if ask.residual { options.residual(&self.z) } else { options }
    }
}

/// What must come out, with the scales of errors: of y for each value, of dx and dz likewise.
#[derive(Default)]
pub struct Truth {
    pub y: Vec<f64>,
    pub y_scale: Vec<f64>,
    pub dx: Vec<f64>,
    pub dx_scale: Vec<f64>,
    pub dz: Vec<f64>,
    /// Of what is added up of dz, or dy.
    pub largest_term: f64,
    pub dweight: Vec<f64>,
    pub dweight_scale: Vec<f64>,
    pub dbias: Vec<f64>,
    pub dbias_scale: Vec<f64>,
    pub layer: Option<cpu::Layer>,
    /// How often each feature was skipped.
    pub skipped: Vec<u32>,
}

impl Ask {
    pub(super) fn descriptor(&self) -> BatchNormDescriptor<'static> {
        let descriptor = descriptor(self.shape.features());
        // What a virtual batch moves normalizes the next one.
        let momentum = if matches!(self.batch, Batch::Virtual(_)) { Some(0.0) } else { descriptor.momentum };
        if self.exact { BatchNormDescriptor { eps: EPS, momentum, ..descriptor } } else { descriptor }
    }

    /// The layer's before the step.
    pub(super) fn state(&self) -> State {
        let c = self.shape.features();
        let state = state(c, self.seed + 1);
        if !self.exact {
            return state;
        }
        let (running_mean, running_var) = (vec![0.0; c as usize], vec![1.0 - EPS; c as usize]);
        let features = || 0..c as usize;
        let (weight, bias) = (features().map(weight).collect(), features().map(bias).collect());
        State { weight, bias, running_mean, running_var, ..state }
    }

    /// The shape with another number of examples.
    pub(super) fn of_examples(&self, examples: u32) -> Shape {
        let Layout { features, inner, .. } = Layout::of(self.shape);
        match inner {
            1 => Shape::channels_last(examples, &[self.shape.positions() as u32], features as u32),
            _ => Shape::channels_first(examples, features as u32, &[inner as u32]),
        }
    }

    fn is_curved(&self) -> bool {
        matches!(self.activation, Activation::Silu | Activation::Gelu | Activation::Custom(_))
    }

    /// The examples that statistics are of, in turn.
    fn batches(&self) -> Vec<Range<usize>> {
        let all = self.shape.batch() as usize;
        let size = if let Batch::Virtual(size) = self.batch { size as usize } else { all };
        (0..all).step_by(size.max(1)).map(|first| first..all.min(first + size)).collect()
    }
}

impl Truth {
    /// The twin called for one batch after the other.
    pub fn of(ask: &Ask, data: &Data) -> Self {
        let c = ask.shape.features();
        let mut layer = cpu::Layer::with_state(&ask.descriptor(), &ask.state());
        let before = if ask.accumulate { f64::from(BEFORE) } else { 0.0 };
        let parameters = vec![before; c as usize];
        let mut truth = Self {
            dweight: parameters.clone(),
            dweight_scale: parameters.clone(),
            dbias: parameters.clone(),
            dbias_scale: parameters,
            skipped: vec![0; c as usize],
            ..Self::default()
        };
        for examples in ask.batches() {
            truth.add(ask, data, &mut layer, examples);
        }
        truth.dz.iter_mut().for_each(|dz| *dz += before);
        truth.layer = Some(layer);
        truth
    }

    fn add(&mut self, ask: &Ask, data: &Data, layer: &mut cpu::Layer, examples: Range<usize>) {
        let shape = ask.of_examples(examples.len() as u32);
        let (layout, example) = (Layout::of(shape), ask.of_examples(1).elements() as usize);
        let values = examples.start * example..examples.end * example;
        let (x, dy) = (&data.x[values.clone()], &data.dy[values]);
        let options = data.options(ask).of_examples(examples.clone(), ask.shape);
        let forward = match ask.mode {
            Mode::Evaluation => cpu::evaluate(x, shape, layer, &options),
            _ => cpu::train(x, shape, layer, &options),
        };
        let cpu::Gradients { dx, dz, sums } = cpu::backward(x, dy, shape, &forward.saved, &options);
        let positions = ask.shape.positions() as usize;
        let valid =
            data.mask.as_ref().map(|m| &m.valid[examples.start * positions..examples.end * positions]);
        let pass = Pass::of(x, shape, &forward.saved).with_valid(valid);
        // The derivative of a curve is as exact as dy, however small it is.
        let of_padding = |dy: &f32| if dy.is_nan() { 0.0 } else { f64::from(*dy) };
        let terms: Vec<f64> = if ask.is_curved() { dy.iter().map(of_padding).collect() } else { dz.clone() };
        let (y_scale, scales) = (pass.output(&forward.y, |i| i), pass.gradients(&terms));
        self.y_scale.extend((0..x.len()).map(|i| y_scale[layout.feature(i)]));
        self.largest_term = self.largest_term.max(max_abs(&terms));
        self.dx_scale.extend((0..x.len()).map(|i| scales.dx[layout.feature(i)]));
        self.y.extend(forward.y);
        self.dx.extend(dx);
        self.dz.extend(dz);
        for (c, sums) in sums.iter().enumerate() {
            self.dweight[c] += sums.dy_xhat;
            self.dbias[c] += sums.dy;
            self.dweight_scale[c] += scales.dweight[c];
            self.dbias_scale[c] += scales.dbias[c];
        }
        forward.skipped.into_iter().for_each(|c| self.skipped[c] += 1);
    }
}
