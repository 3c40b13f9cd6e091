//! Before anything is timed: the bench's own batch normalization on the CPU against the crate's float64 reference.

use testkit::bench::shapes::Case;
use wgpu_batchnorm::cpu as reference;
use wgpu_batchnorm::{BatchNormDescriptor, Shape};

use crate::cpu::{Layer, Layout};
use crate::values;

/// Panics where a result is off by more than float32 with plain sums may be.
pub fn cpu() {
    for name in ["300x65", "65536x8", "4x10x7x7", "1x3x300x301", "3x64x50x51_last"] {
        check(&Case::new(name));
    }
}

fn check(case: &Case) {
    let (x, dy) = values(case);
    let shape = Shape::from(case);
    let layout = Layout::new(case);
    let mut layer = Layer::new(layout);
    let mut twin =
        reference::Layer::new(&BatchNormDescriptor { features: shape.features(), ..Default::default() });
    for (c, feature) in layer.features.iter_mut().enumerate() {
        (feature.weight, feature.bias) = (1.0 + c as f32 / 16.0, 2.0 - c as f32);
        (twin.weight[c], twin.bias[c]) = (feature.weight.into(), feature.bias.into());
    }
    let mut y = vec![0.0; x.len()];
    let close = |name: &str, given: &[f32], required: &[f64]| {
        let scale = required.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let worst = given.iter().zip(required).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(worst <= 1e-5 * scale, "{}: {name} on the CPU is off by {worst:e} of {scale:e}", case.name);
    };

    layer.training_forward(&layout.runs(&x), &mut layout.runs_mut(&mut y));
    let options = reference::Options::default();
    let reference::Forward { y: required, saved, .. } = reference::train(&x, shape, &mut twin, &options);
    close("y", &y, &required);
    let of =
        |statistic: fn(&crate::cpu::Feature) -> f32| layer.features.iter().map(statistic).collect::<Vec<_>>();
    close("running_mean", &of(|f| f.running_mean), &twin.running_mean);
    close("running_var", &of(|f| f.running_var), &twin.running_var);

    layer.evaluation(&layout.runs(&x), &mut layout.runs_mut(&mut y));
    close("y_eval", &y, &reference::evaluate(&x, shape, &twin, &options).y);

    layer.backward(&layout.runs(&x), &layout.runs(&dy), &mut layout.runs_mut(&mut y));
    let reference::Gradients { dx: required, sums, .. } =
        reference::backward(&x, &dy, shape, &saved, &options);
    close("dx", &y, &required);
    let of =
        |statistic: fn(&crate::cpu::Feature) -> f32| layer.features.iter().map(statistic).collect::<Vec<_>>();
    close("dweight", &of(|f| f.weight_gradient), &sums.iter().map(|s| s.dy_xhat).collect::<Vec<_>>());
    close("dbias", &of(|f| f.bias_gradient), &sums.iter().map(|s| s.dy).collect::<Vec<_>>());
}
