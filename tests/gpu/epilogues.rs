//! Epilogues: y = activation(bn(x) + z) and its gradients, against the CPU twin, by every choice beside every other one.

use testkit::close::{assert_close, max_abs};
use testkit::fused::{ACTIVATIONS, Ask, CUSTOM, Fused, Mode, PLACEMENTS, Placement, Wanted};
use testkit::gpu::{context, gpu, values, whole};
use testkit::layer::{descriptor, layer};
use testkit::pairwise::pairwise;
use testkit::plans::{of_path, paths};
use testkit::random::{state, tensor};
use testkit::scales::{BACKWARD, FORWARD};
use wgpu_batchnorm::{
    Activation, Backward, BatchNorm, Context, ContextOptions, DeviceProfile, LayerBuffers, Path, PlanError,
    PlanRequest, PreActivation, PrepareError, Shape, StorageType, Tensor, Training, View, cpu,
};

const WANTED: [Wanted; 5] = [
    Wanted { dx: true, dz: true, learns: true },
    Wanted { dx: true, dz: false, learns: true },
    Wanted { dx: false, dz: true, learns: true },
    Wanted { dx: false, dz: true, learns: false },
    Wanted { dx: true, dz: true, learns: false },
];

const BY: [Option<PreActivation>; 3] =
    [None, Some(PreActivation::Recomputed), Some(PreActivation::SignOfOutput)];

/// A shape of a view and packet width whose tiles are not full, and of which an invocation can hold a feature.
fn shape(view: View, packet: u32) -> Shape {
    match view {
        View::Rows => Shape::rows(29, 5 * packet),
        _ => Shape::channels_first(7, 5, &[3 * packet]),
    }
}

/// What a combination of choices asks for; nothing where it is not possible.
fn ask(choices: &[usize]) -> Option<Ask> {
    let (view, packet) = ([View::Planes, View::Rows][choices[0] / 3], [1, 4, 8][choices[0] % 3]);
    let storage = StorageType::ALL[choices[9]];
    // 16 float32, but 8 values of 16 bits.
    let packet = if packet == 8 && storage == StorageType::Float32 { 16 } else { packet };
    let activation = ACTIVATIONS[choices[1]];
    let plan = of_path([Path::Cached, Path::Persistent, Path::Split][choices[2]]).view(view).packet(packet);
    let ask = Ask {
        placement: PLACEMENTS[choices[4]],
        mode: [Mode::Training, Mode::Frozen, Mode::Evaluation][choices[5]],
        wanted: WANTED[choices[6]],
        by: BY[choices[7]],
        storage,
        accumulate: choices[8] == 1,
        plan,
        ..Ask::new(shape(view, packet), activation, choices[3] == 1)
    };
    let by_sign = matches!(activation, Activation::Relu | Activation::LeakyRelu { slope: 0.01 });
    let possible = ask.is_possible() && (by_sign || ask.by != Some(PreActivation::SignOfOutput));
    possible.then_some(ask)
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn each_choice_beside_each_other() {
    let sizes = [6, ACTIVATIONS.len(), 3, 2, 4, 3, WANTED.len(), 3, 2, 3];
    let sample = pairwise(&sizes, |choices| ask(choices).is_some());
    assert!((42..90).contains(&sample.len()), "{}", sample.len());
    for ask in sample.iter().filter_map(|choices| ask(choices)) {
        Fused::new(ask).check();
    }
}

/// As planned for a GPU: workgroups of up to 256, few features over many workgroups.
#[test]
fn plans_of_a_gpu() {
    let profile = DeviceProfile::of(&gpu().device).with_costs(DeviceProfile::discrete().costs);
    let context = Context::with_options(&gpu().device, ContextOptions::default().profile(profile));
    for (shape, activation, residual) in [
        (Shape::rows(2003, 36), Activation::Relu, true),
        (Shape::channels_first(3, 7, &[31, 31]), Activation::Silu, true),
        (Shape::channels_first(40, 130, &[7, 7]), Activation::Gelu, false),
        (Shape::channels_last(5, &[9, 7], 20), Activation::LeakyRelu { slope: 0.2 }, true),
    ] {
        Fused::new_in(&context, Ask::new(shape, activation, residual)).unwrap().check();
    }
}

#[test]
fn rebound_steps() {
    for placement in PLACEMENTS {
        for (mode, plan) in [(Mode::Training, paths()[2]), (Mode::Evaluation, PlanRequest::default())] {
            let ask = Ask::new(Shape::rows(29, 20), Activation::Silu, true);
            let mut fused = Fused::new(Ask { placement, mode, plan, ..ask });
            fused.run();
            fused.rebind();
            fused.check();
        }
    }
}

/// Tensors beyond one binding: each piece with its part of z, y, dy, dx and dz.
#[test]
fn in_pieces() {
    let mut profile = DeviceProfile::of(&gpu().device);
    profile.max_binding = 20_000;
    let context = Context::with_options(&gpu().device, ContextOptions::default().profile(profile));
    let activations = [Activation::Relu, Activation::Silu, Activation::LeakyRelu { slope: 0.2 }, CUSTOM];
    for (k, placement) in PLACEMENTS.into_iter().enumerate() {
        for shape in [Shape::rows(1000, 20), Shape::channels_first(77, 3, &[10, 10])] {
            let storage = StorageType::ALL[k % 3];
            let ask = Ask { placement, storage, ..Ask::new(shape, activations[k], true) };
            let fused = Fused::new_in(&context, ask).unwrap();
            assert!(fused.forward.plan().pieces() > 1, "{}", fused.forward.plan());
            fused.check();
        }
    }
}

/// Virtual batches: as the twin gets by calling in turn.
#[test]
fn of_virtual_batches() {
    let (whole_shape, shape) = (Shape::rows(21, 20), Shape::rows(7, 20));
    let [x, z, dy] = [921, 922, 923].map(|seed| tensor(whole_shape, seed));
    let norm = layer(&descriptor(20), &state(20, 924));
    let [xb, zb, dyb] = [&x, &z, &dy].map(|values| gpu().upload(values));
    let [y, dx, dz] = std::array::from_fn(|_| gpu().empty(x.len()));
    let training = Training::new(whole(&xb), whole(&y)).activation(Activation::Gelu).residual(whole(&zb));
    let forward = norm.prepare_training(whole_shape, training.virtual_batch(7)).unwrap();
    let backward = Backward::of(whole(&dyb)).input_gradient(whole(&dx)).residual_gradient(whole(&dz));
    let backward = norm.prepare_backward(&forward, backward).unwrap();
    gpu()
        .run(|pass| {
            forward.record(pass);
            backward.record(pass);
        })
        .unwrap();
    let got = [&y, &dx, &dz].map(values);
    for batch in 0..3 {
        let of = |all: &[f32]| all[batch * 140..(batch + 1) * 140].to_vec();
        let [x, z, dy] = [&x, &z, &dy].map(|values| of(values));
        let options = cpu::Options::default().activation(Activation::Gelu).residual(&z);
        let mut twin = cpu::Layer::with_state(&descriptor(20), &state(20, 924));
        let cpu::Forward { y, saved, .. } = cpu::train(&x, shape, &mut twin, &options);
        let cpu::Gradients { dx, dz, .. } = cpu::backward(&x, &dy, shape, &saved, &options);
        for ((got, want), tolerance) in got.iter().zip([y, dx, dz]).zip([FORWARD, BACKWARD, BACKWARD]) {
            let largest = max_abs(&want);
            assert_close(&format!("virtual batch {batch}"), &of(got), &want, |_| largest, tolerance);
        }
    }
}

/// After a forward in place, x is lost, but not what ReLU's derivative depends on.
#[test]
fn a_frozen_relu_in_place_needs_no_copy() {
    let shape = Shape::rows(29, 20);
    let wanted = Wanted { dx: true, dz: false, learns: false };
    let ask = Ask { mode: Mode::Frozen, wanted, ..Ask::new(shape, Activation::Relu, false) };
    let fused = Fused::new(ask);
    assert_eq!(fused.backward.plan().kept(), [Tensor::Output]);
    Fused::new(Ask { placement: Placement::InPlace, ..ask }).check();
}

/// Which tensors of the forward step a backward reads, and what that costs.
#[test]
fn what_must_stay_alive() {
    let shape = Shape::channels_first(6, 5, &[4, 4]);
    let (x, y, z) = (Tensor::Input, Tensor::Output, Tensor::Residual);
    let (leaky, steep) = (Activation::LeakyRelu { slope: 0.01 }, Activation::LeakyRelu { slope: -0.5 });
    for (activation, residual, kept) in [
        (Activation::Identity, true, vec![x]),
        (Activation::Relu, false, vec![x]),
        (Activation::Relu, true, vec![x, y]),
        (leaky, true, vec![x, y]),
        (steep, true, vec![x, z]),
        (Activation::Silu, false, vec![x]),
        (Activation::Gelu, true, vec![x, z]),
        (CUSTOM, true, vec![x, z]),
    ] {
        let plan = PlanRequest::new().path(Path::Cached);
        let fused = Fused::new(Ask { plan, ..Ask::new(shape, activation, residual) });
        let (forward, backward) = (fused.forward.plan(), fused.backward.plan());
        assert_eq!(backward.kept(), kept, "{activation:?}, {residual}");
        assert_eq!(forward.kept(), []);
        let names: Vec<String> = kept.iter().map(Tensor::to_string).collect();
        assert!(backward.to_string().contains(&format!("reads the forward step's {}", names.join(" and "))));
        // dy and dx, what is kept, and dz.
        let tensors = 2 + kept.len() as u64 + u64::from(residual);
        assert_eq!(backward.bytes_moved(), tensors * shape.bytes(), "{backward}");
        assert_eq!(forward.bytes_moved(), (2 + u64::from(residual)) * shape.bytes(), "{forward}");
    }
}

/// The dispatches are those of the same plan with nothing fused.
#[test]
fn no_dispatch_is_added() {
    for plan in paths() {
        for mode in [Mode::Training, Mode::Frozen, Mode::Evaluation] {
            let plain = Ask { mode, plan, ..Ask::new(Shape::rows(29, 20), Activation::Identity, false) };
            let fused = Ask { mode, plan, ..Ask::new(Shape::rows(29, 20), Activation::Relu, true) };
            let [plain, fused] = [plain, fused].map(Fused::new);
            assert_eq!(plain.forward.plan().dispatches(), fused.forward.plan().dispatches());
            assert_eq!(plain.backward.plan().dispatches(), fused.backward.plan().dispatches());
        }
    }
}

/// A layer with each vector in a buffer of the caller's: x, y, z, six vectors.
#[test]
fn nine_buffers_are_planned_only_where_the_device_binds_them() {
    let shape = Shape::rows(29, 20);
    let vectors: [_; 5] = std::array::from_fn(|_| gpu().upload(&[1.0; 20]));
    let [x, y, z] = std::array::from_fn(|_| gpu().empty(shape.elements() as usize));
    let prepare = |buffers: u32, plan: PlanRequest| {
        let mut profile = *context().profile();
        profile.max_storage_buffers = buffers;
        let context = Context::with_options(&gpu().device, ContextOptions::default().profile(profile));
        let [weight, bias, mean, var, batches] = vectors.each_ref().map(whole);
        let own = LayerBuffers::new().weight(weight).bias(bias).running_mean(mean).running_var(var);
        let norm = BatchNorm::with_buffers(&context, &descriptor(20), own.num_batches_tracked(batches));
        let training = Training::new(whole(&x), whole(&y)).residual(whole(&z)).plan(plan);
        norm.unwrap().prepare_training(shape, training)
    };
    assert_eq!(prepare(8, PlanRequest::default()).unwrap().plan().path(), Path::Split);
    let cached = PlanRequest::new().path(Path::Cached);
    let error = prepare(8, cached).unwrap_err();
    assert_eq!(error, PrepareError::Plan(PlanError::StorageBuffers { required: 9, given: 8 }));
    if gpu().device.limits().max_storage_buffers_per_shader_stage >= 9 {
        assert_eq!(prepare(9, cached).unwrap().plan().path(), Path::Cached);
    }
    // The layer's own vectors are one binding.
    let norm = layer(&descriptor(20), &state(20, 905));
    let training = Training::new(whole(&x), whole(&y)).residual(whole(&z)).plan(cached);
    assert_eq!(norm.prepare_training(shape, training).unwrap().plan().path(), Path::Cached);
}
