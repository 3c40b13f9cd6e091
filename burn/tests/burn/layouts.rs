//! How x and dy lie in memory.

use burn::tensor::{DType, FloatDType, Tensor};
use burn_batchnorm::BatchNormConfig;
use wgpu_batchnorm::Statistics;

use crate::support::{
    BACKWARD, FORWARD, assert_alike, assert_near, device, exact, normal, ours, plain, tensor, values,
};

const AXES: [usize; 4] = [3, 10, 5, 4];

/// x and dy each with the features first or last in memory.
#[test]
fn features_last_are_read_as_they_are() {
    let len = AXES.iter().product();
    let (x, dy) = (normal(len, 41, 1.0), normal(len, 42, 0.0));
    let config = BatchNormConfig::new(10);
    let exact = exact(&config, Statistics::Batch, AXES, &x, &dy);
    // The same values as a view of a tensor (N, H, W, C).
    let lay = |values_: &[f32], last: bool| -> Tensor<4> {
        let first = tensor(values_, AXES, &device());
        if !last {
            return first;
        }
        let transposed = values(first.movedim(1, 3));
        tensor(&transposed, [AXES[0], AXES[2], AXES[3], AXES[1]], &device()).movedim(3, 1)
    };
    for (x_last, dy_last) in [(true, true), (true, false), (false, true)] {
        let norm = ours(&config, &device());
        let input = lay(&x, x_last).require_grad();
        let y = norm.forward(input.clone());
        let mut gradients = (y.clone() * lay(&dy, dy_last)).sum().backward();
        let what = format!("x last {x_last}, dy last {dy_last}");
        assert_near(&values(y), &exact.y, FORWARD, &what);
        assert_near(&values(input.grad_remove(&mut gradients).unwrap()), &exact.dx, BACKWARD, &what);
        let dgamma = norm.gamma.val().grad_remove(&mut gradients).unwrap();
        assert_near(&values(dgamma), &exact.dgamma, BACKWARD, &what);
    }
}

#[test]
fn views_of_larger_tensors() {
    let larger = [5, 10, 5, 4];
    let x = tensor(&normal(larger.iter().product(), 43, 1.0), larger, &plain());
    let norm = ours(&BatchNormConfig::new(10), &plain());
    let copied = |view: &Tensor<4>| tensor::<4>(&values(view.clone()), view.dims(), &plain());
    for view in [
        x.clone().slice([1..4, 0..10, 0..5, 0..4]),
        x.clone().slice([0..5, 0..10, 1..4, 0..4]),
        x.clone().swap_dims(2, 3),
        x.clone().slice([0..1, 0..10, 0..5, 0..4]).expand([4, 10, 5, 4]),
    ] {
        let want = values(norm.forward(copied(&view)));
        assert_alike(&values(norm.forward(view)), &want, 0.0, "y of a view");
    }
}

#[test]
fn half_precision_where_the_device_has_it() {
    let len = AXES.iter().product();
    let (x, norm) = (normal(len, 44, 1.0), ours(&BatchNormConfig::new(10), &plain()));
    if !plain().supports_dtype(DType::F16) {
        return;
    }
    let half = tensor(&x, AXES, &plain()).cast(FloatDType::F16);
    let rounded = values(half.clone().cast(FloatDType::F32));
    let exact = exact(&BatchNormConfig::new(10), Statistics::Running, AXES, &rounded, &rounded);
    let y = norm.forward(half);
    assert_eq!(y.dtype(), DType::F16);
    // Half a unit in the last place of float16.
    assert_near(&values(y.cast(FloatDType::F32)), &exact.y, 1.0 / 2048.0, "y");
}
