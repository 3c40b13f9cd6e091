//! What the tests share: burn's devices, values, and what the layer is compared with.

use std::sync::LazyLock;

use burn::module::Param;
use burn::nn;
use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, Tensor, TensorData};
use burn_batchnorm::{BatchNorm, BatchNormConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use wgpu_batchnorm::{Activation, BatchNormDescriptor, Convention, Shape, Statistics, cpu};

/// Tolerances of the layer, relative to the largest magnitude of the exact result.
pub const FORWARD: f64 = 5e-7;
pub const BACKWARD: f64 = 1e-6;

static STARTED: LazyLock<(Device, WgpuSetup)> = LazyLock::new(|| {
    let (device, setup) = Device::wgpu_options().init_with_setup().expect("a wgpu device");
    burn_batchnorm::share(&device, &setup).unwrap();
    (device, setup)
});

/// The device without autodiff.
pub fn plain() -> Device {
    STARTED.0.clone()
}

pub fn setup() -> WgpuSetup {
    STARTED.1.clone()
}

/// The device with autodiff.
pub fn device() -> Device {
    plain().autodiff()
}

/// Normal values of that many standard deviations from 0.
pub fn normal(len: usize, seed: u64, offset: f32) -> Vec<f32> {
    let rng = StdRng::seed_from_u64(seed);
    let values = Distribution::<f32>::sample_iter(StandardNormal, rng);
    values.map(|value| value + offset).take(len).collect()
}

pub fn tensor<const D: usize>(values: &[f32], axes: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), axes), device)
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// gamma and beta that differ from feature to feature.
pub fn parameters(features: usize) -> [Vec<f32>; 2] {
    let feature = |f| f as f32;
    [
        (0..features).map(|f| 0.5 + feature(f) * 0.3).collect(),
        (0..features).map(|f| feature(f) - 1.5).collect(),
    ]
}

/// The layer with these gamma and beta.
pub fn ours(config: &BatchNormConfig, device: &Device) -> BatchNorm {
    let [gamma, beta] = parameters(config.num_features).map(|values| vector(&values, device));
    BatchNorm { gamma, beta, ..config.init(device) }
}

/// burn's layer with them.
pub fn theirs(features: usize, device: &Device) -> nn::BatchNorm {
    let [gamma, beta] = parameters(features).map(|values| vector(&values, device));
    nn::BatchNorm { gamma, beta, ..nn::BatchNormConfig::new(features).init(device) }
}

fn vector(values: &[f32], device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(tensor(values, [values.len()], device))
}

/// What a step leaves.
pub struct Results<T> {
    pub y: Vec<T>,
    pub dx: Vec<T>,
    pub dgamma: Vec<T>,
    pub dbeta: Vec<T>,
    pub running_mean: Vec<T>,
    pub running_var: Vec<T>,
}

/// What the float64 twin makes of x and dy, (N, C, ..), with the layer's options and parameters.
pub fn exact<const D: usize>(
    config: &BatchNormConfig,
    statistics: Statistics,
    axes: [usize; D],
    x: &[f32],
    dy: &[f32],
) -> Results<f64> {
    let convention = if config.unbiased_running_var { Convention::PyTorch } else { Convention::Burn };
    let descriptor = BatchNormDescriptor::with_defaults_of(convention, config.num_features as u32);
    let mut layer = cpu::Layer::new(&descriptor);
    let [gamma, beta] =
        parameters(config.num_features).map(|values| values.into_iter().map(f64::from).collect());
    (layer.weight, layer.bias) = (gamma, beta);
    let activation = if config.relu { Activation::Relu } else { Activation::Identity };
    let options = cpu::Options::default().activation(activation).statistics(statistics);
    let options = options.update_running(statistics == Statistics::Batch);
    let spatial: Vec<u32> = axes[2..].iter().map(|&axis| axis as u32).collect();
    let shape = Shape::channels_first(axes[0] as u32, axes[1] as u32, &spatial);
    let forward = cpu::train(x, shape, &mut layer, &options);
    let gradients = cpu::backward(x, dy, shape, &forward.saved, &options);
    Results {
        y: forward.y,
        dx: gradients.dx,
        dgamma: gradients.sums.iter().map(|sums| sums.dy_xhat).collect(),
        dbeta: gradients.sums.iter().map(|sums| sums.dy).collect(),
        running_mean: layer.running_mean,
        running_var: layer.running_var,
    }
}

/// The largest difference, relative to the largest magnitude of what is exact.
pub fn error(got: &[f32], exact: &[f64]) -> f64 {
    assert_eq!(got.len(), exact.len());
    let largest = exact.iter().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let differences = got.iter().zip(exact).map(|(got, exact)| (f64::from(*got) - exact).abs());
    // A NaN is the largest difference.
    differences.fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst }) / largest
}

#[track_caller]
pub fn assert_near(got: &[f32], exact: &[f64], tolerance: f64, what: &str) {
    let error = error(got, exact);
    assert!(
        error <= tolerance,
        "{what}: {error:.1e} from the exact values, at most {tolerance:.0e} is allowed"
    );
}

/// The same of two float32 results.
#[track_caller]
pub fn assert_alike(a: &[f32], b: &[f32], tolerance: f64, what: &str) {
    let b: Vec<f64> = b.iter().copied().map(f64::from).collect();
    assert_near(a, &b, tolerance, what);
}

/// A forward and its backward by autodiff, given dy.
pub fn step<const D: usize>(
    forward: impl FnOnce(Tensor<D>) -> Tensor<D>,
    [gamma, beta]: [&Param<Tensor<1>>; 2],
    axes: [usize; D],
    x: &[f32],
    dy: &[f32],
) -> [Vec<f32>; 4] {
    let device = gamma.val().device();
    let input = tensor(x, axes, &device).require_grad();
    // Between work of burn's own on both sides, so that the order of submissions matters.
    let y = forward(input.clone().mul_scalar(2.0).div_scalar(2.0));
    let loss = (y.clone() * tensor(dy, axes, &device)).sum();
    let mut gradients = loss.backward();
    let dx = input.grad_remove(&mut gradients).expect("x requires its gradient");
    let [dgamma, dbeta] = [gamma, beta].map(|parameter| {
        let gradient = parameter.val().grad_remove(&mut gradients);
        gradient.map(values).unwrap_or_default()
    });
    [values(y), values(dx), dgamma, dbeta]
}
