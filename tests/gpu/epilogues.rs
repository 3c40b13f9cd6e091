//! Epilogues: y = activation(bn(x) + z) and its gradients, against the CPU twin; every choice beside every other one is in
//! combinations.rs.

use testkit::ask::{Ask, Asked, CUSTOM, Mode, PLACEMENTS, Placement, Wanted};
use testkit::gpu::{context, gpu, whole};
use testkit::layer::{descriptor, layer};
use testkit::plans::{paths, without_path};
use testkit::random::state;
use wgpu_batchnorm::{
    Activation, BatchNorm, Context, ContextOptions, DeviceProfile, LayerBuffers, Path, PlanError,
    PlanRequest, PrepareError, Shape, StorageType, Tensor, Training,
};

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
        Asked::new_in(&context, Ask::new(shape, activation, residual)).unwrap().check();
    }
}

#[test]
fn rebound_steps() {
    for placement in PLACEMENTS {
        for (mode, plan) in [(Mode::Training, paths()[2]), (Mode::Evaluation, PlanRequest::default())] {
            let ask = Ask::new(Shape::rows(29, 20), Activation::Silu, true);
            let mut asked = Asked::new(Ask { placement, mode, plan, ..ask });
            asked.run();
            asked.rebind();
            asked.check();
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
            let asked = Asked::new_in(&context, ask).unwrap();
            assert!(asked.forward().plan().pieces() > 1, "{}", asked.forward().plan());
            asked.check();
        }
    }
}

/// After a forward in place, x is lost, but not what ReLU's derivative depends on.
#[test]
fn a_frozen_relu_in_place_needs_no_copy() {
    let shape = Shape::rows(29, 20);
    let wanted = Wanted { dx: true, dz: false, learns: false };
    let ask = Ask { mode: Mode::Frozen, wanted, ..Ask::new(shape, Activation::Relu, false) };
    let asked = Asked::new(ask);
    assert_eq!(asked.backward().plan().kept(), [Tensor::Output]);
    Asked::new(Ask { placement: Placement::InPlace, ..ask }).check();
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
        let asked = Asked::new(Ask { plan, ..Ask::new(shape, activation, residual) });
        let (forward, backward) = (asked.forward().plan(), asked.backward().plan());
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
            let plan = if mode == Mode::Evaluation { without_path(plan) } else { plan };
            let plain = Ask { mode, plan, ..Ask::new(Shape::rows(29, 20), Activation::Identity, false) };
            let fused = Ask { mode, plan, ..Ask::new(Shape::rows(29, 20), Activation::Relu, true) };
            let [plain, fused] = [plain, fused].map(Asked::new);
            assert_eq!(plain.forward().plan().dispatches(), fused.forward().plan().dispatches());
            assert_eq!(plain.backward().plan().dispatches(), fused.backward().plan().dispatches());
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
