//! Activations at the ends of float32, at NaN, and of the caller's own.

use testkit::ask::{Ask, Asked, CUSTOM, Mode, Placement, Wanted};
use testkit::gpu::{context, gpu, values, whole};
use testkit::layer::{descriptor, layer};
use testkit::plans::paths;
use testkit::prepare;
use testkit::random::{state, tensor};
use wgpu_batchnorm::{
    Activation, ActivationError, Backward, BatchNorm, BatchNormDescriptor, BindingError, CustomActivation,
    Epilogue, Evaluation, Op, PlanError, PlanRequest, PreActivation, PrepareError, Shape, State, Tensor,
    Training, Work,
};

/// A layer whose evaluation leaves values as they are.
fn identity(features: u32) -> BatchNorm {
    let eps = 1.0 / 1024.0;
    let vector = |value| vec![value; features as usize];
    let state = State {
        weight: vector(1.0),
        bias: vector(0.0),
        running_mean: vector(0.0),
        running_var: vector(1.0 - eps),
        num_batches_tracked: 0,
    };
    layer(&BatchNormDescriptor { eps, ..descriptor(features) }, &state)
}

/// activation(v), and its gradient for these dy.
fn evaluate(v: &[f32], dy: &[f32], activation: Activation, by: Option<PreActivation>) -> [Vec<f32>; 2] {
    let (shape, norm) = (Shape::rows(v.len() as u32, 1), identity(1));
    let [x, dy] = [v, dy].map(|values| gpu().upload(values));
    let [y, dx] = std::array::from_fn(|_| gpu().empty(v.len()));
    let evaluation = Evaluation::new(whole(&x), whole(&y)).activation(activation);
    let forward = norm.prepare_evaluation(shape, evaluation).unwrap();
    let mut request = Backward::of(whole(&dy)).input_gradient(whole(&dx));
    if let Some(by) = by {
        request = request.pre_activation(by);
    }
    let backward = norm.prepare_backward(&forward, request).unwrap();
    gpu()
        .run(|pass| {
            forward.record(pass);
            backward.record(pass);
        })
        .unwrap();
    [&y, &dx].map(values)
}

const BY: [PreActivation; 2] = [PreActivation::Recomputed, PreActivation::SignOfOutput];

/// NaN of both signs, and with other bits.
fn nans() -> [f32; 3] {
    [0x7fc0_0000u32, 0xffc0_0001, 0x7fff_ffff].map(f32::from_bits)
}

/// As PyTorch's relu and threshold_backward: NaN passes forward, and its gradient is 0.
#[test]
fn nan_passes_rectifiers_and_has_no_gradient() {
    for by in BY {
        for (activation, slope) in [(Activation::Relu, 0.0), (Activation::LeakyRelu { slope: 0.5 }, 0.5)] {
            for nan in nans() {
                let v = [nan, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN];
                let [y, dx] = evaluate(&v, &[2.0; 9], activation, Some(by));
                assert!(y[0].is_nan(), "{activation:?}: {y:?}");
                let largest = if slope == 0.0 { 0.0 } else { f32::MIN / 2.0 };
                let infinite = if slope == 0.0 { 0.0 } else { f32::NEG_INFINITY };
                assert_eq!(y[1..], [1.0, -slope, f32::INFINITY, infinite, 0.0, 0.0, f32::MAX, largest]);
                let s = 2.0 * slope;
                assert_eq!(dx, [s, 2.0, s, 2.0, s, s, s, 2.0, s], "{activation:?}, {by:?}");
            }
        }
        // Nothing of a dy that is not finite passes where the derivative is 0.
        let dy = [f32::NAN, f32::INFINITY, f32::NAN, f32::INFINITY];
        let [_, dx] = evaluate(&[-1.0, -1.0, 1.0, 1.0], &dy, Activation::Relu, Some(by));
        assert!(dx[..2] == [0.0; 2] && dx[2].is_nan() && dx[3] == f32::INFINITY, "{dx:?}");
    }
}

#[test]
fn nan_passes_smooth_activations() {
    for activation in [Activation::Silu, Activation::Gelu] {
        for nan in nans() {
            let [y, dx] = evaluate(&[nan, 1.0], &[1.0; 2], activation, None);
            assert!(y[0].is_nan() && dx[0].is_nan() && y[1].is_finite() && dx[1].is_finite());
        }
    }
}

/// No exponential and no power overflows on the way to a finite result.
#[test]
fn smooth_activations_of_large_values() {
    let large = [20.0f32, 90.0, 1e4, 1e13, 1e20, f32::MAX];
    let v: Vec<f32> = large.iter().flat_map(|&v| [v, -v]).collect();
    for activation in [Activation::Silu, Activation::Gelu] {
        let [y, dx] = evaluate(&v, &vec![1.0; v.len()], activation, None);
        for ((v, y), dx) in v.iter().zip(&y).zip(&dx) {
            let (want, slope) = if *v > 0.0 { (*v, 1.0) } else { (0.0, 0.0) };
            assert!((y - want).abs() <= 1e-7 * v.abs(), "{activation:?}({v}) is {y}");
            assert!((dx - slope).abs() <= 1e-6, "{activation:?}'({v}) is {dx}");
        }
    }
}

/// Value and derivative to rounding, everywhere that they are not 0 or v.
#[test]
fn smooth_activations_are_accurate() {
    let v: Vec<f32> = (-3000..=3000).map(|k| k as f32 * 0.004).collect();
    for activation in [Activation::Silu, Activation::Gelu] {
        let twin = testkit::ask::twin(activation);
        let [y, dx] = evaluate(&v, &vec![1.0; v.len()], activation, None);
        for ((&v, y), dx) in v.iter().zip(&y).zip(&dx) {
            let (want, slope) = (twin.value(v.into()), twin.gradient(v.into(), 1.0));
            assert!((f64::from(*y) - want).abs() <= 4e-7 * want.abs().max(0.2), "{activation:?}({v}) is {y}");
            assert!((f64::from(*dx) - slope).abs() <= 4e-7, "{activation:?}'({v}) is {dx} for {slope}");
        }
    }
}

/// The gradients of an activation of the caller's, by central differences of what the device computes forward.
#[test]
fn finite_differences_of_a_custom_activation() {
    let shape = Shape::rows(6, 3);
    for plan in paths() {
        let asked = Asked::new(Ask { plan, ..Ask::new(shape, CUSTOM, true) });
        let got = asked.run();
        let (x, z, dy) = asked.inputs();
        let state = state(3, 901);
        let loss = |x: &[f32], z: &[f32], state: &State| -> f64 {
            let norm = layer(&descriptor(3), state);
            let [x, z] = [x, z].map(|values| gpu().upload(values));
            let y = gpu().empty(dy.len());
            let training = Training::new(whole(&x), whole(&y)).activation(CUSTOM).residual(whole(&z));
            let step = norm.prepare_training(shape, training.plan(plan)).unwrap();
            gpu().run(|pass| step.record(pass)).unwrap();
            values(&y).iter().zip(dy).map(|(y, dy)| f64::from(*y) * f64::from(*dy)).sum()
        };
        let h = 1.0 / 64.0;
        let check = |what: &str, got: &[f32], moved: &dyn Fn(usize, f32) -> f64| {
            for (i, &got) in got.iter().enumerate() {
                let want = (moved(i, h) - moved(i, -h)) / f64::from(2.0 * h);
                assert!(
                    (f64::from(got) - want).abs() < 3e-3 * (1.0 + want.abs()),
                    "{what}[{i}]: {got}, {want}"
                );
            }
        };
        let at = |values: &[f32], i: usize, by: f32| {
            let mut values = values.to_vec();
            values[i] += by;
            values
        };
        check("dx", &got.dx, &|i, h| loss(&at(x, i, h), z, &state));
        check("dz", &got.dz, &|i, h| loss(x, &at(z, i, h), &state));
        let weight = |i, h| State { weight: at(&state.weight, i, h), ..state.clone() };
        check("dweight", &got.dweight, &|i, h| loss(x, z, &weight(i, h)));
        let bias = |i, h| State { bias: at(&state.bias, i, h), ..state.clone() };
        check("dbias", &got.dbias, &|i, h| loss(x, z, &bias(i, h)));
    }
}

#[test]
fn custom_activations_that_are_refused() {
    let (shape, norm) = (Shape::rows(8, 3), identity(3));
    let [x, y] = std::array::from_fn(|_| gpu().empty(24));
    let prepare = |value, derivative| {
        let activation = Activation::Custom(CustomActivation { value, derivative });
        norm.prepare_training(shape, Training::new(whole(&x), whole(&y)).activation(activation)).unwrap_err()
    };
    let given = "return v; } fn evil() -> f32 { return 1.0;";
    let braces = ActivationError::Braces { function: "value", given };
    assert_eq!(prepare(given, "return 1.0;"), PrepareError::Plan(PlanError::Activation(braces)));
    let comment = ActivationError::Comment { function: "derivative", given: "return 1.0; // }" };
    let error = prepare("return v;", "return 1.0; // }");
    assert_eq!(error, PrepareError::Plan(PlanError::Activation(comment)));
    for value in ["return w;", "v;", "return vec2(v, v);"] {
        let error = prepare(value, "return 1.0;");
        assert!(matches!(error, PrepareError::Pipeline(_)), "{value}: {error}");
        assert!(error.to_string().contains("custom"), "{error}");
    }
    // The layer stays usable.
    prepare::training(&norm, shape, whole(&x), whole(&y), PlanRequest::default());
}

/// Whatever a caller's WGSL writes stays within what is bound.
#[test]
fn custom_activations_keep_run_time_checks() {
    let (shape, norm) = (Shape::rows(8, 3), identity(3));
    let values = tensor(shape, 911);
    let (x, y, guard) = (gpu().upload(&values), gpu().empty(24), 64);
    let activation = Activation::Custom(CustomActivation {
        value: "y[u32(abs(v) * 1e6) + 1000000u] = 1.0; return x[4000000000u] * 0.0 + v;",
        derivative: "return 1.0;",
    });
    let buffer = gpu().upload(&vec![3.0; 24 + 2 * guard]);
    let output = testkit::gpu::part(&buffer, guard as u64 * 4, 96);
    let step =
        norm.prepare_evaluation(shape, Evaluation::new(whole(&x), output).activation(activation)).unwrap();
    gpu().run(|pass| step.record(pass)).unwrap();
    let after = testkit::gpu::values(&buffer);
    assert!(after[..guard].iter().chain(&after[guard + 24..]).all(|v| *v == 3.0));
    drop(y);
}

fn overwritten(tensor: Tensor) -> PrepareError {
    PrepareError::Overwritten { tensor }
}

#[test]
fn tensors_that_are_missing_or_overwritten() {
    let (shape, norm) = (Shape::rows(64, 8), layer(&descriptor(8), &state(8, 912)));
    let [x, y, z, dy, dx, dz] = std::array::from_fn(|_| gpu().empty(512));
    let training = |output, activation| {
        let training = Training::new(whole(&x), output).residual(whole(&z)).activation(activation);
        norm.prepare_training(shape, training).unwrap()
    };
    let backward = || Backward::of(whole(&dy)).input_gradient(whole(&dx)).residual_gradient(whole(&dz));
    let error = |step, backward| norm.prepare_backward(step, backward).unwrap_err();

    let over_z = training(whole(&z), Activation::Silu);
    assert_eq!(error(&over_z, backward()), overwritten(Tensor::Residual));
    let message = overwritten(Tensor::Residual).to_string();
    assert!(message.contains("Backward::residual"), "{message}");
    let copy = gpu().empty(512);
    norm.prepare_backward(&over_z, backward().residual(whole(&copy))).unwrap();
    let over_x = training(whole(&x), Activation::Relu);
    assert_eq!(error(&over_x, backward()), overwritten(Tensor::Input));
    // ReLU's backward reads y, which is there.
    let over_z = training(whole(&z), Activation::Relu);
    norm.prepare_backward(&over_z, backward()).unwrap();

    let step = training(whole(&y), Activation::Relu);
    let mixed_up = PrepareError::ForwardsTensor { tensor: Tensor::OutputGradient, given: Tensor::Output };
    assert_eq!(error(&step, Backward::of(whole(&y)).residual_gradient(whole(&dz))), mixed_up);
    let overlap =
        |first, second, in_place| PrepareError::Binding(BindingError::Overlap { first, second, in_place });
    let (dy_, dx_, dz_) = (Tensor::OutputGradient, Tensor::InputGradient, Tensor::ResidualGradient);
    let over_dy = || Backward::of(whole(&dy)).residual_gradient(whole(&dy));
    assert_eq!(error(&step, over_dy().accumulate_residual(true)), overlap(dy_, dz_, false));
    assert_eq!(error(&step, over_dy().input_gradient(whole(&dy))), overlap(dx_, dz_, false));
    norm.prepare_backward(&step, over_dy().input_gradient(whole(&dx))).unwrap();

    let sign = backward().pre_activation(PreActivation::SignOfOutput);
    let silu = training(whole(&y), Activation::Silu);
    let wrong = ActivationError::Sign { given: Activation::Silu };
    assert_eq!(error(&silu, sign), PrepareError::Plan(PlanError::Activation(wrong)));

    let without = norm.prepare_training(shape, Training::new(whole(&x), whole(&y))).unwrap();
    assert_eq!(error(&without, backward()), PrepareError::NoResidual);
    let mut without = without;
    let more = Training::new(whole(&x), whole(&y)).residual(whole(&z));
    let other = PrepareError::OtherTensors { tensor: Tensor::Residual, required: false };
    assert_eq!(without.rebind(&norm, more).unwrap_err(), other);
    let overlapping = Training::new(whole(&x), whole(&y)).residual(testkit::gpu::part(&y, 0, 2048));
    norm.prepare_training(shape, overlapping).unwrap(); // the same range
    let both = gpu().empty(1024);
    let [low, high] = [(0, 2048), (256, 2048)].map(|(at, size)| testkit::gpu::part(&both, at, size));
    let overlapping = Training::new(whole(&x), low).residual(high);
    let error = norm.prepare_training(shape, overlapping).unwrap_err();
    assert_eq!(error, overlap(Tensor::Residual, Tensor::Output, true));
}

/// Pipelines of an epilogue can be built beforehand.
#[test]
fn warming_up() {
    let context = wgpu_batchnorm::Context::new(&gpu().device);
    let mut epilogue = Epilogue::default();
    (epilogue.activation, epilogue.residual) = (Activation::Relu, true);
    let shape = Shape::rows(64, 8);
    let work = Work::from(Op::Training { update_running: true }).epilogue(epilogue);
    let plan = wgpu_batchnorm::Plan::new(context.profile(), work, shape, PlanRequest::default()).unwrap();
    pollster::block_on(context.warm_up(&[plan])).unwrap();
    let built = context.pipelines();
    assert!(built > 0);
    let wanted = Wanted { dx: false, dz: true, learns: false };
    let ask = Ask {
        wanted,
        mode: Mode::Training,
        placement: Placement::Disjoint,
        ..Ask::new(shape, Activation::Relu, true)
    };
    let asked = Asked::new_in(&context, ask).unwrap();
    assert_eq!(context.pipelines(), built + asked.backward().plan().dispatches());
    assert_eq!(self::context().profile(), context.profile());
}
