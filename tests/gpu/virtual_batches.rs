//! Statistics of so many examples at a time: as if the layer were called for one virtual batch after the other.

use testkit::gpu::{context, gpu, part, values, whole};
use testkit::layer::{descriptor, layer, layer_in, read_state};
use testkit::plans::paths;
use testkit::random::{state, tensor};
use testkit::train::Trained;
use wgpu_batchnorm::{
    Backward, BatchNorm, BindingError, Context, ContextOptions, DeviceProfile, Path, PlanRequest,
    PrepareError, Shape, State, Statistics, Tensor, Training,
};

const BATCH: u32 = 11;

/// Shapes of so many examples, most of which begin at no aligned offset.
fn shapes() -> [fn(u32) -> Shape; 5] {
    [
        |batch| Shape::rows(batch, 7),
        |batch| Shape::rows(batch, 16),
        |batch| Shape::channels_first(batch, 3, &[5]),
        |batch| Shape::channels_first(batch, 6, &[4, 4]),
        |batch| Shape::channels_last(batch, &[3], 8),
    ]
}

/// The layer called once for each virtual batch, in turn; gradients of weight and bias added up.
fn in_turn(
    norm: &BatchNorm,
    shape: fn(u32) -> Shape,
    size: u32,
    [x, dy]: [&[f32]; 2],
    training: impl Fn(Training<'static>) -> Training<'static>,
    plan: PlanRequest,
) -> Trained {
    let gpu = gpu();
    let example = shape(1).elements() as usize;
    let c = norm.features() as usize;
    let (dweight, dbias) = (gpu.empty(c), gpu.empty(c));
    let (mut y, mut dx) = (Vec::new(), Vec::new());
    for (k, x) in x.chunks(size as usize * example).enumerate() {
        let dy = &dy[k * size as usize * example..][..x.len()];
        let [input, output, dy, gradient] = [x, x, dy, dy].map(|values| gpu.upload(values));
        let [input, output]: [&'static _; 2] = [Box::leak(Box::new(input)), Box::leak(Box::new(output))];
        let request = training(Training::new(whole(input), whole(output)).plan(plan));
        let step = norm.prepare_training(shape((x.len() / example) as u32), request).unwrap();
        let backward = Backward::of(whole(&dy))
            .input_gradient(whole(&gradient))
            .weight_gradient(whole(&dweight))
            .bias_gradient(whole(&dbias))
            .accumulate(true)
            .plan(plan);
        let backward = norm.prepare_backward(&step, backward).unwrap();
        gpu.run(|pass| {
            step.record(pass);
            backward.record(pass);
        })
        .unwrap();
        y.extend(values(output));
        dx.extend(values(&gradient));
    }
    Trained { y, dx, dweight: values(&dweight), dbias: values(&dbias), state: read_state(norm) }
}

/// The same in one step and its backward. x, y, dy and dx lie in one buffer where `one_buffer` says so.
fn at_once(
    norm: &BatchNorm,
    shape: Shape,
    size: u32,
    [x, dy]: [&[f32]; 2],
    training: impl Fn(Training<'static>) -> Training<'static>,
    plan: PlanRequest,
    one_buffer: bool,
) -> Trained {
    let gpu = gpu();
    let c = norm.features() as usize;
    let (stride, bytes) = (x.len().next_multiple_of(64), x.len() as u64 * 4);
    let arena = gpu.empty(4 * stride);
    let alone: [_; 4] = std::array::from_fn(|_| gpu.empty(x.len()));
    let [dweight, dbias] = [0, 1].map(|_| gpu.empty(c));
    let leaked: &'static _ = Box::leak(Box::new((arena, alone)));
    let tensor = |k: usize| match one_buffer {
        true => part(&leaked.0, (k * stride) as u64 * 4, bytes),
        false => whole(&leaked.1[k]),
    };
    for (k, values) in [(0, x), (2, dy)] {
        let binding = tensor(k);
        gpu.queue.write_buffer(binding.buffer, binding.offset, bytemuck::cast_slice(values));
    }
    let request = training(Training::new(tensor(0), tensor(1)).plan(plan).virtual_batch(size));
    let step = norm.prepare_training(shape, request).unwrap();
    let backward = Backward::of(tensor(2))
        .input_gradient(tensor(3))
        .weight_gradient(whole(&dweight))
        .bias_gradient(whole(&dbias))
        .plan(plan);
    let backward = norm.prepare_backward(&step, backward).unwrap();
    gpu.run(|pass| {
        step.record(pass);
        backward.record(pass);
    })
    .unwrap();
    let read = |k| testkit::gpu::download(&gpu.device, &gpu.queue, tensor(k));
    let state = read_state(norm);
    Trained { y: read(1), dx: read(3), dweight: values(&dweight), dbias: values(&dbias), state }
}

#[test]
fn virtual_batches_are_calls_in_turn() {
    for shape in shapes() {
        let (of_batch, c) = (shape(BATCH), shape(1).features());
        let (x, dy, before) = (tensor(of_batch, 801), tensor(of_batch, 802), state(c, 803));
        // A last virtual batch of fewer examples would be planned otherwise by itself.
        let pinned = |plan: PlanRequest| match plan.path {
            Some(Path::Split) => plan.workgroup(8).tile(1).splits(2),
            _ => plan.workgroup(32).tile(1),
        };
        for plan in paths().map(pinned) {
            for size in [2, 3, 4, 8, BATCH, 100] {
                // Of rows, the last virtual batch must have two examples.
                if of_batch.positions() == 1 && BATCH % size == 1 {
                    continue;
                }
                let want = in_turn(&layer(&descriptor(c), &before), shape, size, [&x, &dy], |t| t, plan);
                for one_buffer in [false, true] {
                    let norm = layer(&descriptor(c), &before);
                    let got = at_once(&norm, of_batch, size, [&x, &dy], |t| t, plan, one_buffer);
                    assert!(got == want, "{of_batch} by {size}, [{plan}], one buffer: {one_buffer}");
                }
            }
        }
    }
}

#[test]
fn virtual_batches_of_a_frozen_layer() {
    let (shape, before) = (shapes()[2], state(3, 813));
    let (x, dy) = (tensor(shape(BATCH), 811), tensor(shape(BATCH), 812));
    let frozen = |training: Training<'static>| training.statistics(Statistics::Running);
    for update_running in [false, true] {
        let training = |training| frozen(training).update_running(update_running);
        // Nothing is reduced in a frozen layer that stays as it is: there is one path.
        let plan = if update_running { PlanRequest::new().path(Path::Split) } else { PlanRequest::new() };
        let want = {
            let norm = layer(&descriptor(3), &before);
            let step = in_turn_forward(&norm, shape, 4, &x, training, plan);
            (step, read_state(&norm))
        };
        let norm = layer(&descriptor(3), &before);
        let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
        let (input, output): (&'static _, &'static _) =
            (Box::leak(Box::new(input)), Box::leak(Box::new(output)));
        let request = training(Training::new(whole(input), whole(output)).plan(plan).virtual_batch(4));
        let step = norm.prepare_training(shape(BATCH), request).unwrap();
        gpu().run(|pass| step.record(pass)).unwrap();
        assert_eq!((values(output), read_state(&norm)), want, "update_running: {update_running}");
        let (dy, dx) = (gpu().upload(&dy), gpu().empty(x.len()));
        let backward = norm.prepare_backward(&step, Backward::of(whole(&dy)).input_gradient(whole(&dx)));
        let backward = backward.unwrap();
        gpu().run(|pass| backward.record(pass)).unwrap();
        assert!(values(&dx).iter().all(|v| v.is_finite() && *v != 0.0));
    }
}

fn in_turn_forward(
    norm: &BatchNorm,
    shape: fn(u32) -> Shape,
    size: u32,
    x: &[f32],
    training: impl Fn(Training<'static>) -> Training<'static>,
    plan: PlanRequest,
) -> Vec<f32> {
    let example = shape(1).elements() as usize;
    let of = |x: &[f32]| {
        let [input, output]: [&'static _; 2] = [0, 1].map(|_| &*Box::leak(Box::new(gpu().upload(x))));
        let request = training(Training::new(whole(input), whole(output)).plan(plan));
        let step = norm.prepare_training(shape((x.len() / example) as u32), request).unwrap();
        gpu().run(|pass| step.record(pass)).unwrap();
        values(output)
    };
    x.chunks(size as usize * example).flat_map(of).collect()
}

/// Each virtual batch saves its statistics behind those of the one before.
#[test]
fn saved_statistics_of_virtual_batches() {
    let shape = Shape::rows(6, 3);
    let x = tensor(shape, 821);
    let norm = layer(&descriptor(3), &state(3, 822));
    let words = norm.saved_bytes() as usize / 4;
    let (input, output, saved) = (gpu().upload(&x), gpu().empty(x.len()), gpu().empty(3 * words));
    let training = || Training::new(whole(&input), whole(&output)).virtual_batch(2);
    let step = norm.prepare_training(shape, training().saved(whole(&saved))).unwrap();
    gpu().run(|pass| step.record(pass)).unwrap();
    let saved = values(&saved);
    for batch in 0..3 {
        for c in 0..3 {
            let mean = (x[batch * 6 + c] + x[batch * 6 + 3 + c]) / 2.0;
            let got = saved[batch * words + c];
            assert!((got - mean).abs() <= 5e-7 * mean.abs().max(1.0), "{got} for {mean}");
        }
    }
    let small = gpu().empty(3 * words - 1);
    let error = norm.prepare_training(shape, training().saved(whole(&small))).unwrap_err();
    assert!(
        matches!(
            error,
            PrepareError::Binding(BindingError::TooSmall { tensor: Tensor::SavedStatistics, .. })
        ),
        "{error}"
    );
}

/// A virtual batch may itself be larger than a binding.
#[test]
fn virtual_batches_beyond_one_binding() {
    let device = &gpu().device;
    let mut profile = DeviceProfile::of(device);
    profile.max_binding = 16_384;
    let small = Context::with_options(device, ContextOptions::default().profile(profile));
    let shape = |batch| Shape::channels_first(batch, 5, &[15]);
    let (of_batch, before) = (shape(150), state(5, 833));
    let (x, dy) = (tensor(of_batch, 831), tensor(of_batch, 832));
    // A virtual batch of 80 examples has 24,000 bytes; of 20, 6,000.
    for size in [80, 20] {
        let plan = PlanRequest::new().path(Path::Split).splits(2);
        let want = in_turn(&layer_in(&small, &descriptor(5), &before), shape, size, [&x, &dy], |t| t, plan);
        let norm = layer_in(&small, &descriptor(5), &before);
        let got = at_once(&norm, of_batch, size, [&x, &dy], |t| t, plan, true);
        let whole =
            in_turn(&layer_in(context(), &descriptor(5), &before), shape, size, [&x, &dy], |t| t, plan);
        for (got, want) in [(&got, &want), (&got, &whole)] {
            for (name, got, want) in
                [("y", &got.y, &want.y), ("dx", &got.dx, &want.dx), ("dweight", &got.dweight, &want.dweight)]
            {
                let largest = want.iter().fold(1.0f32, |max, v| max.max(v.abs()));
                let off = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off <= 1e-6 * largest, "{name} by {size}: off by {off}");
            }
            let batches = |state: &State| state.num_batches_tracked;
            assert_eq!(batches(&got.state), batches(&want.state));
        }
    }
}

#[test]
fn virtual_batches_that_are_refused() {
    let norm = layer(&descriptor(3), &state(3, 841));
    let (input, output) = (gpu().empty(21), gpu().empty(21));
    let training = |size| Training::new(whole(&input), whole(&output)).virtual_batch(size);
    let shape = Shape::rows(7, 3);
    for size in [1, 2, 3, 6] {
        let error = norm.prepare_training(shape, training(size)).unwrap_err();
        assert!(matches!(error, PrepareError::OneValuePerFeature { .. }), "{size}: {error}");
    }
    for size in [4, 5, 7, 8] {
        assert!(norm.prepare_training(shape, training(size)).is_ok(), "{size}");
    }
    let error = norm.prepare_training(shape, training(0)).unwrap_err();
    assert!(error.to_string().contains("virtual batches of at least 1 example"), "{error}");
    // Of several positions, one example is enough.
    assert!(norm.prepare_training(Shape::channels_first(3, 3, &[2]), training(1)).is_ok());
}
