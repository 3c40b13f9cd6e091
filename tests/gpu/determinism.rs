//! The same device, driver, plan and input give the same bits.

use testkit::layer::{descriptor, layer};
use testkit::plans::{some_plans, without_path};
use testkit::random::{state, tensor};
use testkit::train::{evaluate, train};
use wgpu_batchnorm::Shape;

#[test]
fn two_runs_give_the_same_bits_on_every_path() {
    for shape in [
        Shape::rows(1000, 48),
        Shape::channels_first(32, 6, &[12, 12]),
        Shape::channels_first(8, 5, &[7, 9]),
        Shape::channels_last(8, &[12, 12], 10),
    ] {
        let c = shape.features();
        let (x, dy, before) = (tensor(shape, 51), tensor(shape, 52), state(c, 53));
        for plan in some_plans(shape) {
            let run = || train(&layer(&descriptor(c), &before), shape, &x, &dy, plan);
            assert!(run() == run(), "{shape}, [{plan}]");
            let norm = layer(&descriptor(c), &before);
            let plan = without_path(plan);
            assert!(
                evaluate(&norm, shape, &x, plan) == evaluate(&norm, shape, &x, plan),
                "{shape}, [{plan}]"
            );
        }
    }
}
