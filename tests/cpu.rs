//! The CPU reference itself: against PyTorch's and ONNX' files, and its gradients against finite differences.

use testkit::conformance::{cpu::run, files::assert_passes};
use wgpu_batchnorm::{BatchNormDescriptor, Shape, Statistics, cpu};

#[test]
fn reference_files() {
    for (folder, files) in [("pytorch", 30), ("pytorch-extra", 6), ("onnx", 9)] {
        assert_passes(folder, files, run);
    }
}

/// Σ dy · y(x, weight, bias): the loss whose gradients backward computes.
fn loss(x: &[f32], dy: &[f32], shape: Shape, layer: &cpu::Layer, statistics: Statistics) -> f64 {
    let y = cpu::train(x, shape, &mut layer.clone(), &cpu::Options::default().statistics(statistics)).y;
    y.iter().zip(dy).map(|(y, dy)| y * f64::from(*dy)).sum()
}

#[test]
fn gradients_are_finite_differences() {
    // Values on a grid of 2⁻¹⁰, so that a step of 2⁻⁷ either way is exact in float32.
    let grid = |i: usize, k: usize| ((i * k + 311) % 4096) as f32 / 1024.0 - 2.0;
    const STEP: f32 = 1.0 / 128.0;
    for shape in [Shape::rows(9, 3), Shape::channels_first(3, 2, &[2, 2]), Shape::channels_last(3, &[3], 2)] {
        let len = shape.elements() as usize;
        let x: Vec<f32> = (0..len).map(|i| grid(i, 1009)).collect();
        let dy: Vec<f32> = (0..len).map(|i| grid(i, 757)).collect();
        let mut layer =
            cpu::Layer::new(&BatchNormDescriptor { features: shape.features(), ..Default::default() });
        for c in 0..shape.features() as usize {
            (layer.weight[c], layer.bias[c]) = (0.5 + c as f64, 0.25 - c as f64);
            (layer.running_mean[c], layer.running_var[c]) = (0.1 * c as f64, 1.5 + c as f64);
        }
        for statistics in [Statistics::Batch, Statistics::Running] {
            let options = cpu::Options::default().statistics(statistics);
            let saved = cpu::train(&x, shape, &mut layer.clone(), &options).saved;
            let cpu::Gradients { dx, sums, .. } = cpu::backward(&x, &dy, shape, &saved, &options);
            let slope = |f: &dyn Fn(f64) -> f64| {
                // Richardson: the error of central differences is of fourth order.
                let central = |h: f64| (f(h) - f(-h)) / (2.0 * h);
                (4.0 * central(f64::from(STEP) / 2.0) - central(f64::from(STEP))) / 3.0
            };
            for i in 0..len {
                let along_x = |h: f64| {
                    let mut moved = x.clone();
                    moved[i] += h as f32;
                    loss(&moved, &dy, shape, &layer, statistics)
                };
                approx::assert_abs_diff_eq!(dx[i], slope(&along_x), epsilon = 1e-6);
            }
            for (c, s) in sums.iter().enumerate() {
                let along = |part: fn(&mut cpu::Layer) -> &mut Vec<f64>| {
                    slope(&|h: f64| {
                        let mut moved = layer.clone();
                        part(&mut moved)[c] += h;
                        loss(&x, &dy, shape, &moved, statistics)
                    })
                };
                approx::assert_abs_diff_eq!(s.dy_xhat, along(|layer| &mut layer.weight), epsilon = 1e-9);
                approx::assert_abs_diff_eq!(s.dy, along(|layer| &mut layer.bias), epsilon = 1e-9);
            }
        }
    }
}
