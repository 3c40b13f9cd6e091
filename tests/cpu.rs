//! The CPU reference itself: against PyTorch's and ONNX' files, and its gradients against finite differences.

#[path = "../examples/conformance/case.rs"]
mod case;
#[path = "../examples/conformance/compare.rs"]
mod compare;
#[path = "../examples/conformance/formula.rs"]
mod formula;
#[path = "../examples/conformance/results.rs"]
mod results;
#[path = "../examples/conformance/rules.rs"]
mod rules;
#[path = "../examples/conformance/statistics.rs"]
mod statistics;

use case::{Buffers, Case, Format, Input};
use results::{Evaluation, Gradients, Results, Step};
use wgpu_batchnorm::{BatchNormDescriptor, Convention, Shape, State, Statistics, cpu};

fn float32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

fn descriptor(case: &Case) -> BatchNormDescriptor<'static> {
    BatchNormDescriptor {
        label: None,
        features: case.features as u32,
        eps: case.eps as f32,
        momentum: case.momentum.map(|momentum| momentum as f32),
        weight: case.weight.is_some(),
        bias: case.bias.is_some(),
        track_running_stats: case.buffers.is_some(),
        convention: match case.format {
            Format::PyTorch => Convention::PyTorch,
            Format::Onnx => Convention::Onnx,
        },
    }
}

fn shape(case: &Case, batch: usize) -> Shape {
    let spatial: Vec<u32> = case.positions.iter().map(|&axis| axis as u32).collect();
    match case.features_last {
        true => Shape::channels_last(batch as u32, &spatial, case.features as u32),
        false => Shape::channels_first(batch as u32, case.features as u32, &spatial),
    }
}

fn gradients(
    case: &Case,
    input: &Input,
    shape: Shape,
    record: &[cpu::Record],
    statistics: Statistics,
) -> Gradients {
    let Some(dy) = &input.dy else { return Gradients::default() };
    let (dx, sums) = cpu::backward_resident(&input.x, dy, shape, record, statistics);
    let (dbias, dweight): (Vec<f64>, Vec<f64>) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
    Gradients {
        dx: Some(float32(&dx)),
        dweight: case.weight.is_some().then(|| float32(&dweight)),
        dbias: case.bias.is_some().then(|| float32(&dbias)),
    }
}

/// A case through the CPU reference.
fn run(case: &Case) -> Results {
    let mut state = State {
        weight: case.weight.clone().unwrap_or_default(),
        bias: case.bias.clone().unwrap_or_default(),
        ..State::default()
    };
    if let Some(buffers) = &case.buffers {
        state.running_mean.clone_from(&buffers.mean);
        state.running_var.clone_from(&buffers.var);
        state.num_batches_tracked = buffers.batches;
    }
    let mut layer = cpu::Layer::with_state(&descriptor(case), &state);
    let tracks = case.buffers.is_some();
    let mut results = Results::default();
    for input in &case.steps {
        let shape = shape(case, input.batch);
        let (y, record) = cpu::resident(&input.x, shape, &mut layer, Statistics::Batch, tracks);
        let (mean, var) =
            cpu::stats(&input.x, shape).iter().map(|m| (m.mean as f32, (m.square / m.count) as f32)).unzip();
        results.steps.push(Step {
            y: float32(&y),
            batch: Some((mean, var)),
            buffers: tracks.then(|| Buffers {
                mean: float32(&layer.running_mean),
                var: float32(&layer.running_var),
                batches: layer.num_batches_tracked,
            }),
            gradients: gradients(case, input, shape, &record, Statistics::Batch),
        });
    }
    if let Some(input) = &case.evaluation {
        let shape = shape(case, input.batch);
        let (y, record, statistics) = if tracks {
            let (y, record) = cpu::evaluate(&input.x, shape, &layer);
            (y, record, Statistics::Running)
        } else {
            let (y, record) = cpu::resident(&input.x, shape, &mut layer, Statistics::Batch, false);
            (y, record, Statistics::Batch)
        };
        let gradients = gradients(case, input, shape, &record, statistics);
        results.evaluation = Some(Evaluation { y: float32(&y), gradients });
    }
    results
}

#[test]
fn reference_files() {
    let mut checked = 0;
    for folder in ["pytorch", "onnx", "pytorch-extra"] {
        let folder = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "safetensors") {
                continue;
            }
            let case = Case::read(&std::fs::read(&path).unwrap()).unwrap();
            let report = compare::compare(&case, &run(&case));
            let (notes, note) = (report.notes.join("; "), case.metadata.get("note"));
            for row in &report.rows {
                let (name, tensor, outcome) = (&case.name, &row.tensor, row.outcome);
                assert!(!row.failed(), "{name}: {tensor}: {outcome:?} {} ({notes}; {note:?})", row.note);
            }
            assert!(report.passed(), "{}: nothing compared", case.name);
            checked += 1;
        }
    }
    assert!(checked >= 39, "{checked} files");
}

/// Σ dy · y(x, weight, bias): the loss whose gradients backward computes.
fn loss(x: &[f32], dy: &[f32], shape: Shape, layer: &cpu::Layer, statistics: Statistics) -> f64 {
    let (y, _) = cpu::resident(x, shape, &mut layer.clone(), statistics, false);
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
            let (_, record) = cpu::resident(&x, shape, &mut layer.clone(), statistics, false);
            let (dx, sums) = cpu::backward_resident(&x, &dy, shape, &record, statistics);
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
