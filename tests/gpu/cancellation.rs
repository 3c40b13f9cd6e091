//! Results that are next to nothing beside what they are the difference of. Random cases met each of them (docs/testing.md).

use testkit::ask::{Ask, Asked, Batch, Mode, Placement, Wanted};
use wgpu_batchnorm::{Activation, Path, PlanRequest, PreActivation, Shape, View};

/// Of two values x̂ is 1 and −1, whatever they are, but for eps.
#[test]
fn the_gradient_through_two_values_cancels() {
    for (features, slope, seed) in [(9, 0.5, 168268620), (18, 0.5, 154219298), (1, 0.01, 691030503)] {
        let activation = Activation::LeakyRelu { slope };
        for batch in [Batch::Whole, Batch::Parts] {
            Asked::new(Ask {
                placement: Placement::InPlace,
                by: Some(PreActivation::SignOfOutput),
                batch,
                seed,
                ..Ask::new(Shape::rows(2, features), activation, true)
            })
            .check();
        }
    }
}

/// All that an evaluation of these leaves above zero is small beside what the bias takes away.
#[test]
fn relu_leaves_small_values() {
    for (shape, seed) in [(Shape::rows(15, 1), 1154335709), (Shape::rows(16, 3), 956764641)] {
        let plan = PlanRequest::default().path(Path::Elementwise).view(View::Rows).packet(1);
        let mode = Mode::Evaluation;
        Asked::new(Ask { mode, seed, plan, ..Ask::new(shape, Activation::Relu, false) }).check();
    }
}

#[test]
fn leaky_relu_and_a_guard_leave_small_values() {
    let shapes =
        [(Shape::channels_first(2, 2, &[12]), 353970199), (Shape::channels_first(16, 2, &[4]), 3899778144)];
    for (shape, seed) in shapes {
        let leaky = Activation::LeakyRelu { slope: 0.01 };
        let wanted = Wanted { dx: false, dz: true, learns: true };
        Asked::new(Ask { wanted, guard: true, seed, ..Ask::new(shape, leaky, true) }).check();
    }
}
