//! Training and its gradients, beside the float64 twin and burn's own layer.

use burn::module::{Module, ParamGroup};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn_batchnorm::BatchNormConfig;
use wgpu_batchnorm::Statistics;

use crate::support::{
    BACKWARD, FORWARD, Results, assert_alike, assert_near, device, exact, normal, ours, step, tensor, theirs,
    values,
};

/// What a step of the layer leaves.
fn trained<const D: usize>(
    config: &BatchNormConfig,
    axes: [usize; D],
    x: &[f32],
    dy: &[f32],
) -> Results<f32> {
    let norm = ours(config, &device());
    let [y, dx, dgamma, dbeta] = step(|x| norm.forward(x), [&norm.gamma, &norm.beta], axes, x, dy);
    let [running_mean, running_var] =
        [&norm.running_mean, &norm.running_var].map(|state| values(state.value_sync()));
    Results { y, dx, dgamma, dbeta, running_mean, running_var }
}

#[track_caller]
fn assert_results(got: &Results<f32>, exact: &Results<f64>, what: &str) {
    assert_near(&got.y, &exact.y, FORWARD, &format!("y of {what}"));
    assert_near(&got.dx, &exact.dx, BACKWARD, &format!("dx of {what}"));
    assert_near(&got.dgamma, &exact.dgamma, BACKWARD, &format!("dgamma of {what}"));
    assert_near(&got.dbeta, &exact.dbeta, BACKWARD, &format!("dbeta of {what}"));
    assert_near(&got.running_mean, &exact.running_mean, FORWARD, &format!("running_mean of {what}"));
    assert_near(&got.running_var, &exact.running_var, FORWARD, &format!("running_var of {what}"));
}

fn training_in<const D: usize>(axes: [usize; D], offset: f32) {
    let len = axes.iter().product();
    let (x, dy) = (normal(len, 1, offset), normal(len, 2, 0.0));
    for (unbiased, fused) in [(false, false), (true, true)] {
        let config = BatchNormConfig::new(axes[1]).with_unbiased_running_var(unbiased).with_relu(fused);
        let got = trained(&config, axes, &x, &dy);
        let exact = exact(&config, Statistics::Batch, axes, &x, &dy);
        assert_results(&got, &exact, &format!("{axes:?} at {offset}, unbiased {unbiased}, ReLU {fused}"));
    }
}

#[test]
fn training_is_as_the_twin_says() {
    for offset in [0.0, 3.0, 1e4] {
        training_in([64, 3], offset);
        training_in([16, 5, 9], offset);
        training_in([4, 5, 7, 6], offset);
        training_in([16, 8, 14, 14], offset);
        training_in([2, 3, 4, 5, 6], offset);
    }
}

#[test]
fn training_is_as_burns() {
    let axes = [16, 8, 14, 14];
    let len = axes.iter().product();
    let (x, dy) = (normal(len, 3, 1.0), normal(len, 4, 0.0));
    let got = trained(&BatchNormConfig::new(8), axes, &x, &dy);
    let norm = theirs(8, &device());
    let [y, dx, dgamma, dbeta] = step(|x| norm.forward(x), [&norm.gamma, &norm.beta], axes, &x, &dy);
    let running = [&norm.running_mean, &norm.running_var].map(|state| values(state.value_sync()));
    for (ours, theirs, what) in [
        (&got.y, &y, "y"),
        (&got.dx, &dx, "dx"),
        (&got.dgamma, &dgamma, "dgamma"),
        (&got.dbeta, &dbeta, "dbeta"),
        (&got.running_mean, &running[0], "running_mean"),
        (&got.running_var, &running[1], "running_var"),
    ] {
        assert_alike(ours, theirs, 1e-5, what);
    }
}

/// Both layers twice in one network, on x of another thread and on a view of it.
#[test]
fn a_layer_used_twice_has_the_gradients_of_both_uses() {
    let axes = [16, 8, 14, 14];
    let len = axes.iter().product();
    let x = std::thread::spawn(move || tensor(&normal(len, 5, 1.0), axes, &device()).mul_scalar(3.0));
    let (x, weights) = (x.join().unwrap(), tensor(&normal(len, 6, 0.0), axes, &device()));
    let (ours, theirs) = (ours(&BatchNormConfig::new(8), &device()), theirs(8, &device()));
    let view = |x: Tensor<4>| x.slice([3..11, 0..8, 0..14, 0..14]).swap_dims(2, 3);
    for viewed in [false, true] {
        let run = |norm: &dyn Fn(Tensor<4>) -> Tensor<4>, gamma: &Tensor<1>| {
            let input = x.clone().detach().require_grad();
            let seen = |x: &Tensor<4>| if viewed { view(x.clone()) } else { x.clone() };
            let first = norm(seen(&input));
            let second = norm(first.clone().powi_scalar(2));
            let loss = ((first + second.powi_scalar(2)) * seen(&weights)).sum();
            let mut gradients = loss.backward();
            [
                values(input.grad_remove(&mut gradients).unwrap()),
                values(gamma.grad_remove(&mut gradients).unwrap()),
            ]
        };
        let got = run(&|x| ours.forward(x), &ours.gamma.val());
        let want = run(&|x| theirs.forward(x), &theirs.gamma.val());
        assert_alike(&got[0], &want[0], 2e-5, &format!("dx, viewed {viewed}"));
        assert_alike(&got[1], &want[1], 2e-5, &format!("dgamma, viewed {viewed}"));
    }
}

#[test]
fn fused_relu_is_relu_after_the_layer() {
    let axes = [4, 6, 5, 5];
    let len = axes.iter().product();
    let (x, dy) = (normal(len, 7, 0.5), normal(len, 8, 0.0));
    let fused = trained(&BatchNormConfig::new(6).with_relu(true), axes, &x, &dy);
    let norm = ours(&BatchNormConfig::new(6), &device());
    let [y, dx, dgamma, dbeta] = step(|x| relu(norm.forward(x)), [&norm.gamma, &norm.beta], axes, &x, &dy);
    assert_eq!(fused.y, y);
    assert!(fused.y.contains(&0.0) && fused.y.iter().any(|y| *y > 0.0));
    assert_alike(&fused.dx, &dx, 1e-6, "dx");
    assert_alike(&fused.dgamma, &dgamma, 1e-6, "dgamma");
    assert_alike(&fused.dbeta, &dbeta, 1e-6, "dbeta");
}

/// A frozen layer in a network that trains: the running statistics are constants.
#[test]
fn a_frozen_layer_passes_gradients_on() {
    let axes = [4, 6, 5, 5];
    let len = axes.iter().product();
    let (x, dy) = (normal(len, 9, 0.5), normal(len, 10, 0.0));
    for fused in [false, true] {
        let config = BatchNormConfig::new(6).with_relu(fused);
        let frozen = ours(&config, &device()).freeze();
        let [y, dx, dgamma, _] = step(|x| frozen.forward(x), [&frozen.gamma, &frozen.beta], axes, &x, &dy);
        let exact = exact(&config, Statistics::Running, axes, &x, &dy);
        assert_near(&y, &exact.y, FORWARD, "y");
        assert_near(&dx, &exact.dx, BACKWARD, "dx");
        assert!(dgamma.is_empty(), "a frozen parameter has no gradient");
        assert_eq!(values(frozen.running_mean.value_sync()), [0.0; 6]);
        assert_eq!(values(frozen.running_var.value_sync()), [1.0; 6]);

        let group = ParamGroup::ids_from_module(frozen.clone());
        let thawed = frozen.set_require_grad_group(group, true);
        let [_, _, dgamma, dbeta] = step(|x| thawed.forward(x), [&thawed.gamma, &thawed.beta], axes, &x, &dy);
        assert_near(&dgamma, &exact.dgamma, BACKWARD, "dgamma");
        assert_near(&dbeta, &exact.dbeta, BACKWARD, "dbeta");
    }
}

/// More shapes between a forward and its backward than the cache keeps steps of.
#[test]
fn a_backward_after_many_other_shapes() {
    let axes = [6, 4, 3, 3];
    let len = axes.iter().product();
    let (x, dy) = (normal(len, 11, 0.5), normal(len, 12, 0.0));
    let config = BatchNormConfig::new(4);
    let (norm, others) = (ours(&config, &device()), ours(&config, &device()));
    let exact = exact(&config, Statistics::Batch, axes, &x, &dy);
    for _ in 0..2 {
        let forward = |x| {
            let y = norm.forward(x);
            for positions in 2..132 {
                let values = normal(8 * positions, 13, 0.0);
                others.forward(tensor(&values, [2, 4, positions], &device()));
            }
            // With fusion, work is done when something asks for its results.
            values(others.running_mean.value_sync());
            y
        };
        let [y, dx, dgamma, dbeta] = step(forward, [&norm.gamma, &norm.beta], axes, &x, &dy);
        assert_near(&y, &exact.y, FORWARD, "y");
        assert_near(&dx, &exact.dx, BACKWARD, "dx");
        assert_near(&dgamma, &exact.dgamma, BACKWARD, "dgamma");
        assert_near(&dbeta, &exact.dbeta, BACKWARD, "dbeta");
    }
}

#[test]
fn gradients_through_checkpoints() {
    let axes = [4, 6, 5, 5];
    let len = axes.iter().product();
    let (x, dy) = (normal(len, 14, 0.5), normal(len, 15, 0.0));
    let config = BatchNormConfig::new(6);
    let norm = ours(&config, &device().gradient_checkpointing());
    let [y, dx, dgamma, dbeta] = step(|x| norm.forward(x), [&norm.gamma, &norm.beta], axes, &x, &dy);
    let exact = exact(&config, Statistics::Batch, axes, &x, &dy);
    assert_near(&y, &exact.y, FORWARD, "y");
    assert_near(&dx, &exact.dx, BACKWARD, "dx");
    assert_near(&dgamma, &exact.dgamma, BACKWARD, "dgamma");
    assert_near(&dbeta, &exact.dbeta, BACKWARD, "dbeta");
}
