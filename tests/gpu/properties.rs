//! Any shape, on the plan the layer chooses for it.

use proptest::prelude::*;
use testkit::close::assert_trained;
use testkit::layer::{descriptor, layer};
use testkit::plans::plans;
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::{PlanRequest, Shape, cpu};

pub fn shape() -> impl Strategy<Value = Shape> {
    let axes = prop::collection::vec(1u32..12, 0..=3);
    (1u32..24, 1u32..70, axes, any::<bool>())
        .prop_map(|(batch, features, axes, last)| match last {
            true => Shape::channels_last(batch, &axes, features),
            false => Shape::channels_first(batch, features, &axes),
        })
        .prop_filter("batch statistics need two values", |shape| shape.count() > 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn training_and_backward_match_the_reference(shape in shape(), seed in any::<u64>(), plan in any::<prop::sample::Index>()) {
        let descriptor = descriptor(shape.features());
        let before = state(shape.features(), seed);
        let (x, dy) = (tensor(shape, seed ^ 1), tensor(shape, seed ^ 2));
        let reference = cpu::Layer::with_state(&descriptor, &before);
        let plans = plans(shape);
        for plan in [PlanRequest::default(), plans[plan.index(plans.len())]] {
            let got = train(&layer(&descriptor, &before), shape, &x, &dy, plan);
            assert_trained(&format!("{shape}, [{plan}]"), &got, shape, &reference, &x, &dy);
        }
    }
}
