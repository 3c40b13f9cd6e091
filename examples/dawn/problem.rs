//! What a case computes on, and the truth about it from the CPU twins.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};
use testkit::masks::Masked;
use testkit::storage::rounded;
use wgpu_batchnorm::{
    Activation, BatchNormDescriptor, Epilogue, MaskKind, Shape, State, Statistics, StorageType, cpu,
};

/// outer × features × inner values.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    pub outer: u32,
    pub features: u32,
    pub inner: u32,
}

impl Extent {
    pub fn shape(self) -> Shape {
        match self.inner {
            1 => Shape::rows(self.outer, self.features),
            inner => Shape::channels_first(self.outer, self.features, &[inner]),
        }
    }

    fn feature_of(self, i: usize) -> usize {
        i / self.inner as usize % self.features as usize
    }
}

/// Tensors, of values that the storage type has, and a layer's state: the same for the same extent.
pub struct Problem {
    pub extent: Extent,
    pub storage: StorageType,
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    /// The residual.
    pub z: Vec<f32>,
    pub epilogue: Epilogue,
    /// Which examples and positions take part. All else is NaN.
    pub mask: Option<Masked>,
    pub state: State,
}

impl Problem {
    pub fn new(extent: Extent, storage: StorageType, epilogue: Epilogue) -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let mut draw = |low, high| (0..extent.features).map(|_| rng.random_range(low..high)).collect();
        let state = State {
            weight: draw(0.5, 1.5),
            bias: draw(-1.0, 1.0),
            running_mean: draw(-1.0, 1.0),
            running_var: draw(0.2, 3.0),
            num_batches_tracked: 3,
        };
        let [x, dy, z] = [11, 13, 17].map(|seed| rounded(&tensor(extent, seed), storage));
        Self { extent, storage, x, dy, z, epilogue, mask: None, state }
    }

    /// With a mask of this kind, and NaN wherever it says so.
    pub fn masked(mut self, kind: MaskKind) -> Self {
        let (shape, inner) = (self.extent.shape(), self.extent.inner);
        let mask = match kind {
            MaskKind::Lengths => {
                Masked::lengths(shape, (0..self.extent.outer).map(|i| i * 7 % (inner + 2)).collect())
            }
            MaskKind::Positions => Masked::positions((0..shape.count()).map(|i| i % 5 > 1).collect()),
        };
        for tensor in [&mut self.x, &mut self.dy, &mut self.z] {
            *tensor = mask.poisoned(std::mem::take(tensor), shape);
        }
        self.mask = Some(mask);
        self
    }

    pub fn options(&self, statistics: Statistics, update: bool) -> cpu::Options<'_> {
        let options = cpu::Options::default().statistics(statistics).update_running(update);
        let options = options.activation(self.epilogue.activation);
        let options = self.mask.iter().fold(options, |options, mask| options.valid(&mask.valid));
        if self.epilogue.residual { options.residual(&self.z) } else { options }
    }

    /// Takes dy off where the activation is given next to nothing: there rounding may decide of a derivative.
    pub fn avoid_kinks(&mut self, descriptor: &BatchNormDescriptor<'_>, statistics: Statistics) {
        if self.epilogue.activation == Activation::Identity {
            return;
        }
        let mut layer = cpu::Layer::with_state(descriptor, &self.state);
        let options = self.options(statistics, false).activation(Activation::Identity);
        let v = cpu::train(&self.x, self.extent.shape(), &mut layer, &options).y;
        let near = |v: &f64| v.abs() < 1e-5;
        self.dy.iter_mut().zip(&v).filter(|(_, v)| near(v)).for_each(|(dy, _)| *dy = 0.0);
    }

    pub fn descriptor(&self, momentum: Option<f32>) -> BatchNormDescriptor<'static> {
        BatchNormDescriptor { features: self.extent.features, momentum, ..Default::default() }
    }
}

/// Values whose features differ in mean and spread.
fn tensor(extent: Extent, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    let affine: Vec<(f32, f32)> =
        (0..extent.features).map(|_| (rng.random_range(-3.0..3.0), rng.random_range(0.5..2.0))).collect();
    (0..extent.shape().elements() as usize)
        .map(|i| {
            let (mean, spread) = affine[extent.feature_of(i)];
            let z: f32 = StandardNormal.sample(&mut rng);
            z * spread + mean
        })
        .collect()
}

/// What a forward step and its backward must leave, and the scales of their errors, as tests/gpu has them.
pub struct Truth {
    pub layer: cpu::Layer,
    pub y: Vec<f64>,
    pub dx: Vec<f64>,
    pub dz: Vec<f64>,
    pub dweight: Vec<f64>,
    pub dbias: Vec<f64>,
    pub y_scale: f64,
    pub dx_scale: f64,
    pub dz_scale: f64,
    pub dweight_scales: Vec<f64>,
    pub dbias_scales: Vec<f64>,
}

impl Truth {
    /// `before` is what the gradients of weight and bias are added to.
    pub fn new(
        problem: &Problem,
        descriptor: &BatchNormDescriptor<'_>,
        statistics: Statistics,
        update: bool,
        before: f32,
        commits: bool,
    ) -> Self {
        let Problem { extent, x, dy, state, .. } = problem;
        let options = problem.options(statistics, update).commit(commits);
        let shape = extent.shape();
        let mut layer = cpu::Layer::with_state(descriptor, state);
        let cpu::Forward { y, saved, .. } = cpu::train(x, shape, &mut layer, &options);
        let cpu::Gradients { dx, dz, sums } = cpu::backward(x, dy, shape, &saved, &options);
        let before = f64::from(before);
        let mut truth = Self {
            y_scale: y.iter().fold(f64::MIN_POSITIVE, |max, v| max.max(v.abs())),
            layer,
            y,
            dx,
            dweight: sums.iter().map(|s| before + s.dy_xhat).collect(),
            dbias: sums.iter().map(|s| before + s.dy).collect(),
            dx_scale: f64::MIN_POSITIVE,
            dz_scale: dz.iter().fold(f64::MIN_POSITIVE, |max, v| max.max(v.abs())),
            dz,
            dweight_scales: vec![before.abs().max(f64::MIN_POSITIVE); saved.len()],
            dbias_scales: vec![before.abs().max(f64::MIN_POSITIVE); saved.len()],
        };
        for (i, x) in x.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
            let c = extent.feature_of(i);
            let (s, g) = (saved[c], truth.dz[i]);
            truth.dbias_scales[c] += g.abs();
            truth.dweight_scales[c] += (g * (f64::from(*x) - s.mean) * s.invstd).abs();
            truth.dx_scale = truth.dx_scale.max((s.weight * s.invstd * g).abs());
        }
        truth
    }

    pub fn running_mean_scales(&self) -> Vec<f64> {
        let cpu::Layer { running_mean, running_var, .. } = &self.layer;
        running_mean.iter().zip(running_var).map(|(mean, var)| mean.abs().max(var.sqrt())).collect()
    }

    pub fn running_var_scales(&self) -> Vec<f64> {
        self.layer.running_var.iter().map(|var| var.max(f64::from(f32::MIN_POSITIVE))).collect()
    }
}
