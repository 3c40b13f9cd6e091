//! Whole networks: the recorded curves, gradients, and runs that must stop.

use std::path::Path;
use std::sync::LazyLock;

use batchnorm_experiments::data::{Recorded, digits, recorded_regression};
use batchnorm_experiments::digits::{Plan, Task, Watch, train};
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::kernels::{Activation, Step};
use batchnorm_experiments::landscape;
use batchnorm_experiments::network::{Linear, Loss, Mode, Network, Normalization};
use batchnorm_experiments::regression;
use batchnorm_experiments::tensor::Tensor;
use batchnorm_experiments::trainer::Run;
use testkit::gpu::download;
use wgpu_batchnorm::Convention;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("these tests need an adapter"));

fn data() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data"))
}

fn recorded() -> Recorded {
    recorded_regression(data()).expect("the data of the repository")
}

#[test]
fn the_plain_net_follows_the_recorded_curve() {
    let recorded = recorded();
    let steps = 30;
    let curve = regression::train(&GPU, "plain", &recorded.task, Normalization::None, steps).unwrap();
    assert_eq!(curve.train_loss.len(), steps as usize + 1);
    for (step, (&got, &want)) in curve.train_loss.iter().zip(&recorded.without.train_loss).enumerate() {
        assert!((f64::from(got) - want).abs() < 1e-5, "step {step}: {got} instead of {want}");
    }
}

#[test]
fn the_normalized_net_follows_the_recorded_curve_while_it_can() {
    let recorded = recorded();
    let curve = regression::train(&GPU, "batch norm", &recorded.task, Normalization::BATCH, 8).unwrap();
    for (step, (&got, &want)) in curve.train_loss.iter().zip(&recorded.with.train_loss).take(8).enumerate() {
        assert!((f64::from(got) - want).abs() < 1e-4, "step {step}: {got} instead of {want}");
    }
}

#[test]
fn digits_are_learned_sooner_with_batch_norm() {
    let task = Task::new(&GPU, digits(data()).unwrap()).unwrap();
    let accuracy = |normalization| {
        let plan = Plan { name: "test", normalization, seed: 7, steps: 60, batch: 60, watch: Watch::Nothing };
        train(&GPU, &task, &plan).unwrap().curve.last()
    };
    let (with, noisy, without) =
        (accuracy(Normalization::BATCH), accuracy(Normalization::Noisy), accuracy(Normalization::None));
    assert!(with > 0.85 && noisy > 0.8 && without < 0.5, "with {with}, noisy {noisy}, without {without}");
}

#[test]
fn measuring_the_landscape_leaves_training_as_it_was() {
    let task = Task::new(&GPU, digits(data()).unwrap()).unwrap();
    let steps = landscape::EVERY + 1;
    let plan = Plan {
        name: "unmeasured",
        normalization: Normalization::BATCH,
        seed: 1,
        steps,
        batch: 60,
        watch: Watch::Nothing,
    };
    let unmeasured = train(&GPU, &task, &plan).unwrap().curve.train_loss;
    let measured = landscape::measure(&GPU, &task, "measured", Normalization::BATCH, 1, steps).unwrap();
    assert_eq!(measured.steps, [0, landscape::EVERY]);
    assert_eq!(measured.loss, [unmeasured[0], unmeasured[landscape::EVERY as usize]]);
    for i in 0..2 {
        assert!(measured.loss_min[i] <= measured.loss_max[i]);
        assert!(measured.gradient_norm[i] > 0.0 && measured.smoothness[i] > 0.0);
    }
}

/// Gradients of a whole network against finite differences of its loss.
#[test]
fn gradients_agree_with_finite_differences() {
    let values = |len: u32, seed: u32| -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    };
    let layer = |inputs: u32, outputs: u32| Linear {
        inputs,
        outputs,
        weight: values(inputs * outputs, inputs + outputs),
        bias: values(outputs, 3),
    };
    let layers = [layer(5, 7), layer(7, 6), layer(6, 3)];
    for (normalization, loss) in [
        (Normalization::None, Loss::MeanSquared),
        (Normalization::BATCH, Loss::MeanSquared),
        (Normalization::BATCH, Loss::CrossEntropy),
        (Normalization::AfterActivation(Convention::PyTorch), Loss::MeanSquared),
        (Normalization::Noisy, Loss::CrossEntropy),
    ] {
        let network = Network::new(&GPU, &layers, Activation::Sigmoid, normalization, loss).unwrap();
        let rows = 11;
        let pass = network.prepare(rows, Mode::Probe, 1).unwrap();
        pass.inputs.write(&GPU.queue, &values(rows * 5, 4));
        match loss {
            Loss::MeanSquared => pass.targets.write(&GPU.queue, &values(rows * 3, 5)),
            Loss::CrossEntropy => {
                pass.targets.write(&GPU.queue, &(0..rows).map(|row| row % 3).collect::<Vec<_>>());
            }
        }
        pass.set(&GPU, Step { seed: 5, ..Default::default() });
        let read = |tensor: &Tensor| download::<f32>(&GPU.device, &GPU.queue, tensor.binding());
        let loss_now = || {
            GPU.submit(|encoder| {
                let mut compute = encoder.begin_compute_pass(&Default::default());
                pass.forward(&mut compute);
                pass.backward(&mut compute);
            });
            f64::from(read(&pass.losses)[0])
        };
        loss_now();
        let gradients: Vec<Vec<f32>> = pass.gradients.iter().map(read).collect();
        let mut compared = 0;
        for ((binding, len), gradient) in network.parameters().into_iter().zip(&gradients) {
            let parameter = Tensor { buffer: binding.buffer.clone(), offset: binding.offset, len };
            let before = read(&parameter);
            // A few of each tensor; zeros are the gaps between the tensors of the first.
            for i in (0..len as usize).filter(|&i| gradient[i] != 0.0).step_by(5) {
                let h = 0.02f32;
                let at = |shift: f32| {
                    let mut moved = before.clone();
                    moved[i] += shift;
                    parameter.write(&GPU.queue, &moved);
                    loss_now()
                };
                // Fourth order: the step must be wide, for float32 losses.
                let (near, far) = (at(h) - at(-h), at(2.0 * h) - at(-2.0 * h));
                let difference = (8.0 * near - far) / (12.0 * f64::from(h));
                let error = (difference - f64::from(gradient[i])).abs();
                assert!(
                    error < 2e-5 + 1e-3 * difference.abs(),
                    "{normalization:?}, {loss:?}, value {i} of {len}: {} instead of {difference}",
                    gradient[i]
                );
                compared += 1;
            }
            parameter.write(&GPU.queue, &before);
        }
        assert!(compared > 20, "only {compared} gradients were compared");
    }
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_run_and_names_the_step() {
    let task = recorded().task;
    for (normalization, activation) in
        [(Normalization::None, Activation::Relu), (Normalization::BATCH, Activation::Sigmoid)]
    {
        let network = Network::new(&GPU, &task.layers, activation, normalization, Loss::MeanSquared).unwrap();
        let pass = network.prepare(task.rows, Mode::Train, 60).unwrap();
        pass.inputs.write(&GPU.queue, &task.x);
        pass.targets.write(&GPU.queue, &task.y);
        let run = Run { name: "too fast", pass: &pass, gather: None, steps: 60, rate: 1e30, seed: 0 };
        let error = run.train(&GPU, |_, _| {}).err().expect("this must stop").to_string();
        assert!(error.starts_with("too fast: the loss is ") && error.contains(" of 60"), "{error}");
    }
}

#[test]
fn layers_of_the_wrong_size_are_refused() {
    let layer = Linear { inputs: 2, outputs: 3, weight: vec![0.0; 5], bias: vec![0.0; 3] };
    let error = Network::new(&GPU, &[layer], Activation::Relu, Normalization::None, Loss::MeanSquared)
        .err()
        .expect("this must be an error");
    assert!(error.to_string().contains("2 × 3 weights and 3 biases, not 5 and 3"), "{error}");
    let task = recorded().task;
    let network =
        Network::new(&GPU, &task.layers, Activation::Relu, Normalization::BATCH, Loss::MeanSquared).unwrap();
    let error = network.prepare(1, Mode::Train, 1).err().expect("one value per feature has no variance");
    assert!(error.to_string().contains("Train on 1 examples"), "{error:#}");
}
