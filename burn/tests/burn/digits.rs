//! A small convolutional network learns handwritten digits, with this layer and with burn's.

use burn::module::{Module, ModuleDisplay, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLoss;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{self, Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::store::ModuleRecord;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_batchnorm::{BatchNorm, BatchNormConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::support::{device, normal, plain, tensor, values};

static IMAGES: &[u8] = include_bytes!("../../../examples/data/digits_images.u8");
static LABELS: &[u8] = include_bytes!("../../../examples/data/digits_labels.u8");
const PIXELS: usize = 64;
const BATCH: usize = 64;
const RATE: f64 = 0.2;

/// Convolution, normalization, ReLU, twice; then pooling and a linear layer. `N` is who normalizes.
#[derive(Module, Debug)]
struct Net<N> {
    conv1: Conv2d,
    norm1: N,
    conv2: Conv2d,
    norm2: N,
    pool: MaxPool2d,
    linear: Linear,
}

impl<N: Module> Net<N> {
    fn new(norm: impl Fn(usize) -> N, device: &Device) -> Self {
        // Weights that are the same in every run.
        let conv = |from: usize, to: usize, seed| {
            let weight = scaled(to * from * 9, (2.0 / (from * 9) as f32).sqrt(), seed);
            let weight = Param::from_tensor(tensor(&weight, [to, from, 3, 3], device));
            Conv2d { weight, ..Conv2dConfig::new([from, to], [3, 3]).with_bias(false).init(device) }
        };
        let weight = Param::from_tensor(tensor(&scaled(640, 0.125, 83), [64, 10], device));
        let linear = LinearConfig::new(64, 10).with_bias(false).init(device);
        Self {
            conv1: conv(1, 8, 81),
            norm1: norm(8),
            conv2: conv(8, 16, 82),
            norm2: norm(16),
            pool: MaxPool2dConfig::new([2, 2]).init(),
            linear: Linear { weight, ..linear },
        }
    }
}

/// Normal values of this standard deviation.
fn scaled(len: usize, deviation: f32, seed: u64) -> Vec<f32> {
    normal(len, seed, 0.0).into_iter().map(|value| value * deviation).collect()
}

/// A layer and the ReLU after it.
trait Normalize: Module + ModuleDisplay {
    fn normalize(&self, x: Tensor<4>) -> Tensor<4>;
}

impl Normalize for BatchNorm {
    fn normalize(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward(x)
    }
}

impl Normalize for nn::BatchNorm {
    fn normalize(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.forward(x))
    }
}

impl<N: Normalize> Net<N> {
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.norm1.normalize(self.conv1.forward(x));
        let x = self.norm2.normalize(self.conv2.forward(x));
        self.linear.forward(self.pool.forward(x).flatten(1, 3))
    }
}

/// Images and labels of these examples.
fn batch(examples: &[usize], device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let image = |example: &usize| IMAGES[example * PIXELS..][..PIXELS].iter();
    let pixels: Vec<f32> = examples.iter().flat_map(image).map(|&pixel| f32::from(pixel) / 16.0).collect();
    let labels: Vec<i32> = examples.iter().map(|&example| LABELS[example].into()).collect();
    let labels = Tensor::from_data(TensorData::new(labels, [examples.len()]), device);
    (tensor(&pixels, [examples.len(), 1, 8, 8], device), labels)
}

/// Every fifth example is for the test.
fn examples(test: bool) -> Vec<usize> {
    (0..LABELS.len()).filter(|example| (example % 5 == 0) == test).collect()
}

/// Some epochs of stochastic gradient descent; the losses of all steps, and the share of the test set that is recognized.
fn learn<N: Normalize + 'static>(mut net: Net<N>, epochs: usize) -> (Vec<f32>, f64) {
    let (device, mut optimizer) = (device(), SgdConfig::new().init());
    let loss = CrossEntropyLoss::new(None, &device);
    let (mut training, mut rng, mut losses) = (examples(false), StdRng::seed_from_u64(81), Vec::new());
    for _ in 0..epochs {
        training.shuffle(&mut rng);
        for examples in training.chunks_exact(BATCH) {
            let (x, labels) = batch(examples, &device);
            let loss = loss.forward(net.forward(x), labels);
            let gradients = GradientsParams::from_grads(loss.backward(), &net);
            losses.push(values(loss)[0]);
            net = optimizer.step(RATE, net, gradients);
        }
    }
    let test = examples(true);
    let (x, _) = batch(&test, &plain());
    let scores = values(net.valid().forward(x));
    let best = |scores: &[f32]| (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
    let right = scores.chunks(10).zip(&test).filter(|(s, example)| best(s) == LABELS[**example] as usize);
    (losses, right.count() as f64 / test.len() as f64)
}

#[test]
#[cfg_attr(feature = "autotune", ignore = "on a software adapter burn tunes convolutions for many minutes")]
fn a_network_learns_digits_as_with_burns_layer() {
    let device = device();
    let config = |features| BatchNormConfig::new(features).with_relu(true);
    let ours = Net::new(|features| config(features).init(&device), &device);
    let theirs = Net::new(|features| nn::BatchNormConfig::new(features).init(&device), &device);
    let bytes = ours.clone().into_record().into_bytes().unwrap();
    let theirs = theirs.load_record(ModuleRecord::from_bytes(bytes).unwrap());

    let (losses, right) = learn(ours, 6);
    let (burns, _) = learn(theirs, 1);
    // From the same weights on the same batches, rounding alone tells the two apart.
    for (step, (ours, burns)) in losses.iter().zip(&burns).take(5).enumerate() {
        assert!((ours - burns).abs() < 1e-4 * burns, "step {step}: {ours} and {burns}");
    }
    assert!(losses[0] > 1.5, "an untrained network guesses");
    assert!(right > 0.95, "{:.1} % of the test set are recognized", 100.0 * right);
    println!("{:.1} % of the test set are recognized, loss {}", 100.0 * right, losses.last().unwrap());
}
