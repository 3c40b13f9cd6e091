//! Gradients against finite differences.

use wgpu_batchnorm::cpu::{Function, Layer, Options, backward, train};
use wgpu_batchnorm::{Activation, BatchNormDescriptor, Shape, Statistics};

/// A step of x and z either way. Values lie on a grid of half its size, so that moving one is exact in float32.
const STEP: f64 = 1.0 / 512.0;

const SHAPES: [fn() -> Shape; 3] =
    [|| Shape::rows(9, 3), || Shape::channels_first(3, 2, &[2, 2]), || Shape::channels_last(3, &[3], 2)];

fn activations() -> [Function; 7] {
    [
        Activation::Identity.into(),
        Activation::Relu.into(),
        Activation::LeakyRelu { slope: 0.2 }.into(),
        Activation::Silu.into(),
        Activation::Gelu.into(),
        Function::Custom { value: |v| v * v, derivative: |v| 2.0 * v },
        Function::Custom { value: f64::sin, derivative: f64::cos },
    ]
}

/// A loss and what it depends on.
#[derive(Clone)]
struct Problem {
    shape: Shape,
    x: Vec<f32>,
    z: Vec<f32>,
    dy: Vec<f32>,
    layer: Layer,
}

impl Problem {
    fn new(shape: Shape) -> Self {
        let grid = |i: usize, k: usize| ((i * k + 311) % 4096) as f32 / 1024.0 - 2.0;
        let tensor = |k: usize| (0..shape.elements() as usize).map(|i| grid(i, k)).collect();
        let mut layer = Layer::new(&BatchNormDescriptor { features: shape.features(), ..Default::default() });
        for c in 0..shape.features() as usize {
            (layer.weight[c], layer.bias[c]) = (0.5 + c as f64, -0.34375 - c as f64);
            (layer.running_mean[c], layer.running_var[c]) = (0.1 * c as f64, 1.5 + c as f64);
        }
        Self { shape, x: tensor(1009), z: tensor(541), dy: tensor(757), layer }
    }

    fn options<'a>(&'a self, choices: &Choices<'a>) -> Options<'a> {
        let mut options = Options::default().statistics(choices.statistics).activation(choices.activation);
        if choices.residual {
            options = options.residual(&self.z);
        }
        if let Some(valid) = choices.valid {
            options = options.valid(valid);
        }
        options
    }

    /// Σ dy · y: the loss whose gradients backward computes.
    fn loss(&self, choices: &Choices<'_>) -> f64 {
        let y = train(&self.x, self.shape, &mut self.layer.clone(), &self.options(choices)).y;
        y.iter().zip(&self.dy).map(|(y, dy)| y * f64::from(*dy)).sum()
    }

    /// The slope of the loss along what `step` moves. The error of these differences is of fourth order (Richardson).
    fn slope(&self, choices: &Choices<'_>, step: impl Fn(&mut Self, f64)) -> f64 {
        let central = |h: f64| {
            let [above, below] = [h, -h].map(|h| {
                let mut moved = self.clone();
                step(&mut moved, h);
                moved.loss(choices)
            });
            (above - below) / (2.0 * h)
        };
        (4.0 * central(STEP / 2.0) - central(STEP)) / 3.0
    }
}

#[derive(Clone, Copy)]
struct Choices<'a> {
    statistics: Statistics,
    activation: Function,
    residual: bool,
    valid: Option<&'a [bool]>,
}

#[track_caller]
fn check(problem: &Problem, choices: &Choices<'_>) {
    let options = problem.options(choices);
    let Problem { shape, x, dy, layer, .. } = problem;
    let saved = train(x, *shape, &mut layer.clone(), &options).saved;
    let gradients = backward(x, dy, *shape, &saved, &options);
    let near = |what: &str, got: f64, want: f64| {
        let Choices { statistics, activation, residual, valid } = choices;
        let masked = valid.is_some();
        assert!(
            (got - want).abs() < 1e-6,
            "{what}: {got} for {want} ({shape}, {statistics:?}, {activation:?}, residual {residual}, mask {masked})"
        );
    };
    for i in 0..x.len() {
        near("dx", gradients.dx[i], problem.slope(choices, |p, h| p.x[i] += h as f32));
        if choices.residual {
            near("dz", gradients.dz[i], problem.slope(choices, |p, h| p.z[i] += h as f32));
        }
    }
    for (c, s) in gradients.sums.iter().enumerate() {
        near("dweight", s.dy_xhat, problem.slope(choices, |p, h| p.layer.weight[c] += h));
        near("dbias", s.dy, problem.slope(choices, |p, h| p.layer.bias[c] += h));
    }
}

/// A rectifier has no slope where a step crosses its bend, so no value may lie there.
#[track_caller]
fn assert_off_the_bend(problem: &Problem, choices: &Choices<'_>) {
    let plain = Choices { activation: Function::default(), ..*choices };
    let options = problem.options(&plain);
    let y = train(&problem.x, problem.shape, &mut problem.layer.clone(), &options).y;
    let nearest = y.iter().filter(|y| **y != 0.0).fold(f64::MAX, |nearest, y| nearest.min(y.abs()));
    assert!(nearest > 16.0 * STEP, "{}: a value lies {nearest} from the bend", problem.shape);
}

#[test]
fn gradients_are_finite_differences() {
    for problem in SHAPES.map(|shape| Problem::new(shape())) {
        let shape = problem.shape;
        let valid: Vec<bool> = (0..shape.count()).map(|i| i % 4 != 1 && i != 6).collect();
        for statistics in [Statistics::Batch, Statistics::Running] {
            for residual in [false, true] {
                for valid in [None, Some(&valid[..])] {
                    let of = |activation| Choices { statistics, activation, residual, valid };
                    assert_off_the_bend(&problem, &of(Function::default()));
                    for activation in activations() {
                        check(&problem, &of(activation));
                    }
                }
            }
        }
    }
}
