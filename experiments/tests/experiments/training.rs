//! Whole networks: the recorded curves, gradients, and runs that must stop.

use std::path::Path;
use std::sync::LazyLock;

use batchnorm_experiments::data::{Recorded, digits, recorded_regression};
use batchnorm_experiments::digits::{Plan, Task, train};
use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::kernels::Activation;
use batchnorm_experiments::landscape;
use batchnorm_experiments::network::{Linear, Loss, Mode, Network, Normalization};
use batchnorm_experiments::regression;
use batchnorm_experiments::trainer::Run;

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
    let curve =
        regression::train(&GPU, "plain", &recorded.task, Normalization::None, steps, regression::RATE)
            .unwrap();
    assert_eq!(curve.train_loss.len(), steps as usize + 1);
    for (step, (&got, &want)) in curve.train_loss.iter().zip(&recorded.without.train_loss).enumerate() {
        assert!((f64::from(got) - want).abs() < 1e-5, "step {step}: {got} instead of {want}");
    }
}

#[test]
fn the_normalized_net_follows_the_recorded_curve_while_it_can() {
    let recorded = recorded();
    let curve =
        regression::train(&GPU, "batch norm", &recorded.task, Normalization::BATCH, 8, regression::RATE)
            .unwrap();
    for (step, (&got, &want)) in curve.train_loss.iter().zip(&recorded.with.train_loss).take(8).enumerate() {
        assert!((f64::from(got) - want).abs() < 1e-4, "step {step}: {got} instead of {want}");
    }
}

#[test]
fn digits_are_learned_sooner_with_batch_norm() {
    let task = Task::new(&GPU, digits(data()).unwrap()).unwrap();
    let accuracy = |normalization| {
        let plan = Plan { seed: 7, steps: 60, ..Plan::new("test", normalization) };
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
    let plan = Plan { seed: 1, steps, ..Plan::new("unmeasured", Normalization::BATCH) };
    let unmeasured = train(&GPU, &task, &plan).unwrap().curve.train_loss;
    let measured = landscape::measure(&GPU, &task, "measured", Normalization::BATCH, 1, steps).unwrap();
    assert_eq!(measured.steps, [0, landscape::EVERY]);
    assert_eq!(measured.loss, [unmeasured[0], unmeasured[landscape::EVERY as usize]]);
    for i in 0..2 {
        assert!(measured.loss_min[i] <= measured.loss_max[i]);
        assert!(measured.gradient_norm[i] > 0.0 && measured.smoothness[i] > 0.0);
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

/// Losses of the digits' network with 128 sigmoids, batches of 64.
fn losses(normalization: Normalization) -> Vec<f32> {
    let task = Task::new(&GPU, digits(data()).unwrap()).unwrap();
    let plan = Plan { hidden: &[128; 3], steps: 10, batch: 64, ..Plan::new("losses", normalization) };
    train(&GPU, &task, &plan).unwrap().curve.train_loss
}

#[test]
fn merged_statistics_are_those_of_the_whole_batch() {
    let (whole, merged) = (losses(Normalization::BATCH), losses(Normalization::MicroBatches(2)));
    let apart = std::iter::zip(&whole, &merged).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-4, "{whole:?} and {merged:?} are {apart:e} apart");
    let unmerged = losses(Normalization::VirtualBatches(2));
    assert!((whole[0] - unmerged[0]).abs() > 1e-3, "statistics of two examples are others");
}
