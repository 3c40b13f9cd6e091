//! Every kernel of the other layers against a plain float64 computation of the same thing.

use std::sync::LazyLock;

use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::kernels::{Activation, Kernels, Step, matrix, transpose};
use batchnorm_experiments::tensor::Tensor;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use testkit::gpu::download;
use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu;

mod random;
mod views;

struct Bench {
    gpu: Gpu,
    kernels: Kernels,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let gpu = Gpu::new().expect("these tests need an adapter");
    let kernels = Kernels::new(&gpu.device);
    Bench { gpu, kernels }
});

impl Bench {
    fn upload<T: bytemuck::NoUninit>(&self, values: &[T]) -> Tensor {
        Tensor::upload(&self.gpu.device, "test", values)
    }

    fn step(&self, step: Step) -> wgpu::Buffer {
        let buffer = self.kernels.step_buffer();
        self.gpu.queue.write_buffer(&buffer, 0, bytemuck::bytes_of(&step));
        buffer
    }

    /// A tensor filled with NaN, to see that a kernel writes all of it.
    fn unwritten(&self, len: usize) -> Tensor {
        self.upload(&vec![f32::NAN; len.next_multiple_of(4)]).part(0, len as u32)
    }

    fn download<T: bytemuck::Pod>(&self, tensor: &Tensor) -> Vec<T> {
        download(&self.gpu.device, &self.gpu.queue, tensor.binding())
    }

    fn run(&self, dispatch: &Dispatch) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        dispatch.record(&mut encoder.begin_compute_pass(&Default::default()));
        self.gpu.queue.submit([encoder.finish()]);
    }
}

fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-30f64, |scale, v| scale.max(v.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs() / scale;
        assert!(error <= tolerance, "value {i}: {got} instead of {want}, scaled error {error:.2e}");
    }
}

const SIZES: [[u32; 3]; 6] =
    [[1, 1, 1], [2, 3, 5], [33, 31, 32], [60, 100, 64], [64, 10, 100], [67, 65, 129]];

#[test]
fn the_three_products_of_a_linear_layer() {
    let t = &*BENCH;
    for (case, [rows, outputs, inputs]) in SIZES.into_iter().enumerate() {
        let [n, o, i] = [rows, outputs, inputs].map(|v| v as usize);
        let (x, w, b, dy) = (random(case as u64, n * i), random(10, o * i), random(20, o), random(30, n * o));
        let [xs, ws, bs, dys] = [&x, &w, &b, &dy].map(|v| t.upload(v));
        let f = |v: &[f32], at: usize| f64::from(v[at]);

        for bias in [false, true] {
            let y = t.unwritten(n * o);
            let bias_binding = bias.then(|| bs.binding());
            let (a, b_matrix) = (matrix(xs.binding(), inputs), transpose(ws.binding(), inputs));
            t.run(&t.kernels.matmul([rows, outputs, inputs], a, b_matrix, bias_binding, y.binding()));
            let want = |at: usize| {
                let (r, c) = (at / o, at % o);
                (0..i).map(|k| f(&x, r * i + k) * f(&w, c * i + k)).sum::<f64>()
                    + if bias { f(&b, c) } else { 0.0 }
            };
            assert_close(&t.download(&y), &(0..n * o).map(want).collect::<Vec<_>>(), 1e-6);
        }

        let dx = t.unwritten(n * i);
        let (a, b_matrix) = (matrix(dys.binding(), outputs), matrix(ws.binding(), inputs));
        t.run(&t.kernels.matmul([rows, inputs, outputs], a, b_matrix, None, dx.binding()));
        let want = |at: usize| (0..o).map(|k| f(&dy, at / i * o + k) * f(&w, k * i + at % i)).sum();
        assert_close(&t.download(&dx), &(0..n * i).map(want).collect::<Vec<f64>>(), 1e-6);

        let dw = t.unwritten(o * i);
        let (a, b_matrix) = (transpose(dys.binding(), outputs), matrix(xs.binding(), inputs));
        t.run(&t.kernels.matmul([outputs, inputs, rows], a, b_matrix, None, dw.binding()));
        let want = |at: usize| (0..n).map(|k| f(&dy, k * o + at / i) * f(&x, k * i + at % i)).sum();
        assert_close(&t.download(&dw), &(0..o * i).map(want).collect::<Vec<f64>>(), 1e-6);

        let db = t.unwritten(o);
        t.run(&t.kernels.column_sum([rows, outputs], dys.binding(), db.binding()));
        let want = |c: usize| (0..n).map(|k| f(&dy, k * o + c)).sum();
        assert_close(&t.download(&db), &(0..o).map(want).collect::<Vec<f64>>(), 1e-6);
    }
}

#[test]
fn activations_and_their_gradients() {
    let t = &*BENCH;
    for len in [1usize, 4, 63, 6000] {
        let x: Vec<f32> = random(len as u64, len).iter().map(|v| v * 20.0).collect();
        let dy = random(1, len);
        for f in [Activation::Relu, Activation::Sigmoid] {
            let value = |x: f64| match f {
                Activation::Relu => x.max(0.0),
                Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            };
            let slope = |y: f64| match f {
                Activation::Relu => f64::from(u8::from(y > 0.0)),
                Activation::Sigmoid => y * (1.0 - y),
            };
            let pad = |v: &[f32]| {
                let mut v = v.to_vec();
                v.resize(len.next_multiple_of(4), 0.5);
                t.upload(&v).part(0, len as u32)
            };
            let (xs, ys, dys) = (pad(&x), t.unwritten(len), pad(&dy));
            t.run(&t.kernels.activation(f, len as u32, xs.padded(), ys.padded()));
            t.run(&t.kernels.activation_backward(f, len as u32, ys.padded(), dys.padded()));
            let wanted: Vec<f64> = x.iter().map(|&x| value(x.into())).collect();
            let y = t.download(&ys);
            assert_close(&y, &wanted, 1e-6);
            let wanted: Vec<f64> =
                y.iter().zip(&dy).map(|(&y, &dy)| slope(y.into()) * f64::from(dy)).collect();
            assert_close(&t.download(&dys), &wanted, 1e-6);
        }
    }
}

#[test]
fn activations_keep_nan_and_survive_extremes() {
    let t = &*BENCH;
    let x = t.upload(&[f32::NAN, 1e30, -1e30, 0.0]);
    for (f, wanted) in [(Activation::Relu, [1e30, 0.0, 0.0]), (Activation::Sigmoid, [1.0, 0.0, 0.5])] {
        let y = t.unwritten(4);
        t.run(&t.kernels.activation(f, 4, x.padded(), y.padded()));
        let y: Vec<f32> = t.download(&y);
        assert!(y[0].is_nan(), "{f:?}: {y:?}");
        assert_eq!(y[1..], wanted, "{f:?}");
    }
}

#[test]
fn mean_squared_error() {
    let t = &*BENCH;
    for len in [1usize, 255, 512, 1000] {
        let (p, y) = (random(2, len), random(3, len));
        let (gradient, losses) = (t.unwritten(len), t.upload(&[7.0f32; 3]));
        let step = t.step(Step { slot: 1, ..Default::default() });
        let (ps, ys) = (t.upload(&p), t.upload(&y));
        let dispatch = t.kernels.mse(&step, ps.binding(), ys.binding(), gradient.binding(), losses.binding());
        t.run(&dispatch);
        let difference: Vec<f64> = p.iter().zip(&y).map(|(&p, &y)| f64::from(p) - f64::from(y)).collect();
        let loss = difference.iter().map(|d| d * d).sum::<f64>() / len as f64;
        assert_close(&t.download(&losses), &[7.0, loss, 7.0], 1e-6);
        let wanted: Vec<f64> = difference.iter().map(|d| 2.0 * d / len as f64).collect();
        assert_close(&t.download(&gradient), &wanted, 1e-6);
    }
}

#[test]
fn softmax_cross_entropy() {
    let t = &*BENCH;
    for [rows, classes] in [[1usize, 2], [60, 10], [360, 10], [7, 3]] {
        let logits: Vec<f32> = random(4, rows * classes).iter().map(|v| v * 40.0).collect();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let labels: Vec<u32> = (0..rows).map(|_| rng.next_u32() % classes as u32).collect();
        let (gradient, losses, correct) =
            (t.unwritten(rows * classes), t.upload(&[0.0f32; 3]), t.upload(&[0u32; 3]));
        let step = t.step(Step { slot: 2, ..Default::default() });
        let (xs, ls) = (t.upload(&logits), t.upload(&labels));
        t.run(&t.kernels.cross_entropy(
            &step,
            [rows as u32, classes as u32],
            xs.binding(),
            ls.binding(),
            gradient.binding(),
            losses.binding(),
            correct.binding(),
        ));
        let (mut loss, mut right, mut wanted) = (0.0, 0, vec![]);
        for (row, &label) in logits.chunks(classes).zip(&labels) {
            let largest = row.iter().copied().fold(f32::MIN, f32::max);
            right += u32::from(row[label as usize] == largest);
            let weights: Vec<f64> = row.iter().map(|&v| f64::from(v - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            loss -= f64::from(row[label as usize] - largest) - total.ln();
            let onehot = |k: usize| f64::from(u8::from(k == label as usize));
            wanted.extend(weights.iter().enumerate().map(|(k, w)| (w / total - onehot(k)) / rows as f64));
        }
        assert_close(&t.download(&losses), &[0.0, 0.0, loss / rows as f64], 2e-6);
        assert_close(&t.download(&gradient), &wanted, 5e-6);
        assert_eq!(t.download::<u32>(&correct), [0, 0, right]);
    }
}

#[test]
fn gathering_a_minibatch() {
    let t = &*BENCH;
    let (width, count) = (7, 9);
    let bytes: Vec<u8> = (0..width * count).map(|i| (i * 37 % 251) as u8).collect();
    let labels: Vec<u32> = (0..count as u32).map(|i| i * 10).collect();
    let examples = [8u32, 0, 3, 3, 7, 1];
    let mut padded = bytes.clone();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    let pixels = t.upload(bytemuck::cast_slice::<u8, u32>(&padded));
    let (inputs, picked) = (t.unwritten(4 * width), t.upload(&[99u32; 4]));
    let step = t.step(Step { first: 2, ..Default::default() });
    let (labels, list) = (t.upload(&labels), t.upload(&examples));
    t.run(&t.kernels.gather(
        &step,
        [4, width as u32],
        0.5,
        pixels.binding(),
        labels.binding(),
        list.binding(),
        inputs.binding(),
        picked.binding(),
    ));
    let wanted: Vec<f32> = examples[2..]
        .iter()
        .flat_map(|&e| &bytes[e as usize * width..][..width])
        .map(|&byte| f32::from(byte) * 0.5)
        .collect();
    assert_eq!(t.download::<f32>(&inputs), wanted);
    assert_eq!(t.download::<u32>(&picked), [30, 30, 70, 10]);
}

#[test]
fn descent_moving_and_distance() {
    let t = &*BENCH;
    let (p, g) = (random(6, 1000), random(7, 1000));
    let rate = 0.3;
    let step = t.step(Step { rate, slot: 1, ..Default::default() });
    let (ps, gs, moved) = (t.upload(&p), t.upload(&g), t.unwritten(1000));
    t.run(&t.kernels.move_along(&step, 1000, ps.binding(), gs.binding(), moved.binding()));
    t.run(&t.kernels.sgd(&step, 1000, ps.binding(), gs.binding()));
    let wanted: Vec<f64> =
        p.iter().zip(&g).map(|(&p, &g)| f64::from(p) - f64::from(rate) * f64::from(g)).collect();
    assert_close(&t.download(&moved), &wanted, 2e-7);
    assert_close(&t.download(&ps), &wanted, 2e-7);

    let sums = t.upload(&[0.0f32, 1.0, 0.0]);
    t.run(&t.kernels.distance_squared(&step, ps.binding(), gs.binding(), sums.binding()));
    let distance: f64 = wanted.iter().zip(&g).map(|(&p, &g)| (p - f64::from(g)).powi(2)).sum();
    assert_close(&t.download(&sums), &[0.0, 1.0 + distance, 0.0], 1e-6);
}
