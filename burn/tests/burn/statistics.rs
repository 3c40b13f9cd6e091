//! Running statistics, evaluation, and what holds old values.

use burn::module::Module;
use burn_batchnorm::BatchNormConfig;
use wgpu_batchnorm::Statistics;

use crate::support::{
    FORWARD, assert_alike, assert_near, device, exact, normal, ours, plain, tensor, theirs, values,
};

const AXES: [usize; 4] = [8, 5, 6, 6];

fn batch(seed: u64) -> Vec<f32> {
    normal(AXES.iter().product(), seed, 2.0)
}

#[test]
fn evaluation_is_as_burns_after_training() {
    let (ours, theirs) = (ours(&BatchNormConfig::new(5), &device()), theirs(5, &device()));
    for seed in 21..24 {
        let x = tensor(&batch(seed), AXES, &device());
        ours.forward(x.clone());
        theirs.forward(x);
    }
    let (ours, theirs) = (ours.valid(), theirs.valid());
    let x = tensor(&batch(24), AXES, &plain());
    assert_alike(&values(ours.running_mean.value()), &values(theirs.running_mean.value()), 1e-6, "mean");
    assert_alike(&values(ours.running_var.value()), &values(theirs.running_var.value()), 1e-6, "variance");
    assert_alike(&values(ours.forward(x.clone())), &values(theirs.forward(x)), 2e-6, "y");
}

#[test]
fn evaluation_is_as_the_twin_says() {
    for relu in [false, true] {
        let config = BatchNormConfig::new(5).with_relu(relu);
        let (x, norm) = (batch(25), ours(&config, &plain()));
        let got = values(norm.forward(tensor(&x, AXES, &plain())));
        let exact = exact(&config, Statistics::Running, AXES, &x, &x);
        assert_near(&got, &exact.y, FORWARD, "y");
    }
}

/// burn's tensors are values: whoever took the running statistics before a step keeps what they were.
#[test]
fn training_does_not_change_values_that_others_hold() {
    let norm = ours(&BatchNormConfig::new(5), &device());
    norm.forward(tensor(&batch(26), AXES, &device()));
    let (held, valid) = (norm.running_mean.value_sync(), norm.valid());
    let x = tensor(&batch(27), AXES, &plain());
    let (mean, y) = (values(held.clone()), values(valid.forward(x.clone())));
    norm.forward(tensor(&batch(28), AXES, &device()));
    assert_ne!(values(norm.running_mean.value_sync()), mean, "training moves them");
    assert_eq!(values(held), mean);
    assert_eq!(values(valid.forward(x)), y);
}

#[test]
fn momentum_is_the_share_of_the_batch() {
    let x = tensor(&[1.0, 3.0], [2, 1], &device());
    for (momentum, mean, variance) in [(0.0, 0.0, 1.0), (0.5, 1.0, 1.0), (1.0, 2.0, 1.0)] {
        let norm = BatchNormConfig::new(1).with_momentum(momentum).init(&device());
        norm.forward(x.clone());
        assert_eq!(values(norm.running_mean.value_sync()), [mean]);
        assert_eq!(values(norm.running_var.value_sync()), [variance]);
    }
    let norm = BatchNormConfig::new(1).with_momentum(1.0).with_unbiased_running_var(true).init(&device());
    norm.forward(x);
    assert_eq!(values(norm.running_var.value_sync()), [2.0]);
}

#[test]
fn validation_and_back_to_training() {
    let norm = ours(&BatchNormConfig::new(5), &device());
    let x = batch(29);
    let first = values(norm.forward(tensor(&x, AXES, &device())));
    let again = norm.valid().train();
    assert_eq!(values(again.forward(tensor(&x, AXES, &device()))), first);
    assert_ne!(values(norm.valid().forward(tensor(&x, AXES, &plain()))), first);
}

#[test]
fn the_same_input_gives_the_same_bits() {
    let x = batch(30);
    let run = || {
        let norm = ours(&BatchNormConfig::new(5), &device());
        let y = values(norm.forward(tensor(&x, AXES, &device())));
        (y, values(norm.running_var.value_sync()))
    };
    assert_eq!(run(), run());
}
