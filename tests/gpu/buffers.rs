//! A layer's vectors, its gradients and what it saves, in buffers of the caller's.

use testkit::close::assert_close;
use testkit::gpu::{download, gpu, part, values, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::plans::paths;
use testkit::prepare::{self, Gradients};
use testkit::random::{state, tensor};
use testkit::scales::FORWARD;
use testkit::train::{Trained, evaluate, train};
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, BindingError, DescriptorError, LayerBuffers, PlanRequest,
    PrepareError, ReadError, Shape, State, StateError, Tensor, Training, cpu, wgpu,
};

use crate::placement::{Arena, MARGIN};

fn shapes() -> [Shape; 2] {
    [Shape::rows(40, 8), Shape::channels_first(5, 8, &[4, 4])]
}

/// The layer's five vectors in one buffer, and x, y, dy, dx, dweight and dbias after them.
fn arena(state: &State, [x, dy]: [&[f32]; 2]) -> Arena {
    let counts = vec![f32::from_bits(state.num_batches_tracked as u32); state.weight.len()];
    let (zero, vector) = (vec![0.0; x.len()], vec![0.0; counts.len()]);
    let State { weight, bias, running_mean, running_var, .. } = state;
    Arena::new(&[weight, bias, running_mean, running_var, &counts, x, &zero, dy, &zero, &vector, &vector])
}

fn layer_of(arena: &Arena) -> BatchNorm {
    let buffers = LayerBuffers::new()
        .weight(arena.binding(0))
        .bias(arena.binding(1))
        .running_mean(arena.binding(2))
        .running_var(arena.binding(3))
        .num_batches_tracked(arena.binding(4));
    BatchNorm::with_buffers(testkit::gpu::context(), &descriptor(8), buffers).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn vectors_in_an_arena_give_the_same_bits() {
    for shape in shapes() {
        let (x, dy) = (tensor(shape, 431), tensor(shape, 432));
        let before = State { num_batches_tracked: 6, ..state(8, 433) };
        for plan in paths() {
            let own = layer(&descriptor(8), &before);
            let evaluated = evaluate(&own, shape, &x, PlanRequest::default());
            let want = train(&own, shape, &x, &dy, plan);
            // The layer's vectors alone in the buffer, then all tensors beside them.
            let arena = arena(&before, [&x, &dy]);
            let norm = layer_of(&arena);
            assert_eq!(read_state(&norm), before, "nothing is written when the layer is made");
            assert!(evaluate(&norm, shape, &x, PlanRequest::default()) == evaluated);
            assert!(train(&norm, shape, &x, &dy, plan) == want, "{shape}, [{plan}]");

            norm.set_state(&gpu().queue, &before).unwrap();
            let at = |k| arena.binding(k);
            let step = prepare::training(&norm, shape, at(5), at(6), plan);
            let gradients =
                Gradients { dx: Some(at(8)), dweight: Some(at(9)), dbias: Some(at(10)), accumulate: false };
            let back = prepare::backward(&norm, &step, at(7), gradients, plan);
            gpu()
                .run(|pass| {
                    step.record(pass);
                    back.record(pass);
                })
                .unwrap();
            let got = arena.read();
            let Trained { y, dx, dweight, dbias, state } = &want;
            assert!(got[5..] == [&x, y, &dy, dx, dweight, dbias].map(Clone::clone), "{shape}, [{plan}]");
            let State { weight, bias, running_mean, running_var, .. } = state;
            assert!(got[..4] == [weight, bias, running_mean, running_var].map(Clone::clone));
            assert_eq!(bits(&got[4]), [7; 8]);
            assert_eq!(read_state(&norm), *state);
        }
    }
}

#[test]
fn evaluation_beside_the_layers_vectors() {
    for shape in shapes() {
        let (x, before) = (tensor(shape, 434), state(8, 435));
        let want = evaluate(&layer(&descriptor(8), &before), shape, &x, PlanRequest::default());
        let arena = arena(&before, [&x, &x]);
        let norm = layer_of(&arena);
        let at = |k| arena.binding(k);
        let step = prepare::evaluation(&norm, shape, at(5), at(6), PlanRequest::default());
        let in_place = prepare::evaluation(&norm, shape, at(7), at(7), PlanRequest::default());
        gpu()
            .run(|pass| {
                step.record(pass);
                in_place.record(pass);
            })
            .unwrap();
        let got = arena.read();
        assert!(got[5] == x && got[6] == want && got[7] == want, "{shape}");
        assert_eq!(read_state(&norm), before);
    }
}

#[test]
fn a_state_is_set_in_the_callers_buffers() {
    let before = state(8, 436);
    let arena = arena(&before, [&[0.0; 8], &[0.0; 8]]);
    let norm = layer_of(&arena);
    let set = State { num_batches_tracked: 3_000_000_000, ..state(8, 437) };
    norm.set_state(&gpu().queue, &set).unwrap();
    let got = arena.read();
    let State { weight, bias, running_mean, running_var, .. } = &set;
    assert!(got[..4] == [weight, bias, running_mean, running_var].map(Clone::clone));
    assert_eq!(bits(&got[4]), [3_000_000_000; 8]);
    assert_eq!(read_state(&norm), set);
}

#[test]
fn vectors_that_are_not_given_are_the_layers() {
    let shape = shapes()[0];
    let d = BatchNormDescriptor { bias: false, ..descriptor(8) };
    let (x, dy, before) = (tensor(shape, 438), tensor(shape, 439), cut(&d, &state(8, 440)));
    let want = train(&layer(&d, &before), shape, &x, &dy, PlanRequest::default());
    let weight = gpu().upload(&[MARGIN; 8]);
    let buffers = LayerBuffers::new().weight(whole(&weight));
    let norm = BatchNorm::with_buffers(testkit::gpu::context(), &d, buffers).unwrap();
    let initial = State { weight: vec![MARGIN; 8], running_var: vec![1.0; 8], ..Default::default() };
    assert_eq!(read_state(&norm), State { running_mean: vec![0.0; 8], ..initial });
    norm.set_state(&gpu().queue, &before).unwrap();
    assert!(train(&norm, shape, &x, &dy, PlanRequest::default()) == want);
    assert_eq!(values(&weight), before.weight);
    assert_eq!((norm.weight().unwrap().buffer, norm.bias().is_none()), (&weight, true));
}

#[test]
fn buffers_that_cannot_hold_a_vector() {
    let make =
        |d, buffers| BatchNorm::with_buffers(testkit::gpu::context(), &d, buffers).map(drop).unwrap_err();
    let (short, vector) = (gpu().empty(7), gpu().empty(200));
    let new = LayerBuffers::new;
    for (tensor, buffers) in [
        (Tensor::Weight, new().weight(whole(&short))),
        (Tensor::Bias, new().bias(whole(&short))),
        (Tensor::RunningMean, new().running_mean(whole(&short))),
        (Tensor::RunningVar, new().running_var(part(&vector, 0, 28))),
        (Tensor::Batches, new().num_batches_tracked(part(&vector, 256, 28))),
    ] {
        let error = BindingError::TooSmall { tensor, required: 32, given: 28 };
        assert_eq!(make(descriptor(8), buffers), DescriptorError::Binding(error));
    }
    let DescriptorError::Binding(BindingError::Misaligned { tensor: Tensor::Bias, given: 4, .. }) =
        make(descriptor(8), new().bias(part(&vector, 4, 32)))
    else {
        panic!("required an error of the offset")
    };
    let none =
        BatchNormDescriptor { weight: false, bias: false, track_running_stats: false, ..descriptor(8) };
    for (tensor, buffers) in [
        (Tensor::Weight, new().weight(whole(&vector))),
        (Tensor::Bias, new().bias(whole(&vector))),
        (Tensor::RunningMean, new().running_mean(whole(&vector))),
        (Tensor::RunningVar, new().running_var(whole(&vector))),
        (Tensor::Batches, new().num_batches_tracked(whole(&vector))),
    ] {
        assert_eq!(make(none, buffers), DescriptorError::NoParameter { tensor });
    }
}

/// A layer whose bias is in a buffer of this usage.
fn with_bias_of(usage: wgpu::BufferUsages) -> Result<(BatchNorm, wgpu::Buffer), DescriptorError> {
    let buffer = gpu().device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 32,
        usage,
        mapped_at_creation: false,
    });
    let buffers = LayerBuffers::new().bias(whole(&buffer));
    let norm = BatchNorm::with_buffers(testkit::gpu::context(), &descriptor(8), buffers)?;
    Ok((norm, buffer))
}

#[test]
fn buffers_that_cannot_be_copied() {
    use wgpu::BufferUsages as Usage;
    let set = |norm: &BatchNorm| norm.set_state(&gpu().queue, &state(8, 441));
    let read = |norm: &BatchNorm| pollster::block_on(norm.read_state(&gpu().queue));
    let (write_only, _) = with_bias_of(Usage::STORAGE | Usage::COPY_DST).unwrap();
    set(&write_only).unwrap();
    assert_eq!(read(&write_only).unwrap_err(), ReadError::Usage { vector: Tensor::Bias });
    let (read_only, _) = with_bias_of(Usage::STORAGE | Usage::COPY_SRC).unwrap();
    let before = read(&read_only).unwrap();
    assert_eq!(set(&read_only).unwrap_err(), StateError::Usage { vector: Tensor::Bias });
    assert_eq!(read(&read_only).unwrap(), before, "nothing is set where not all can be");
    let error = with_bias_of(Usage::COPY_SRC | Usage::COPY_DST).unwrap_err();
    assert!(matches!(
        error,
        DescriptorError::Binding(BindingError::Usage { tensor: Tensor::Bias, required: Usage::STORAGE, .. })
    ));
}

#[test]
fn saved_statistics_in_the_callers_buffer() {
    for (shape, features) in [(Shape::rows(40, 5), 5), (Shape::channels_first(5, 70, &[4, 4]), 70)] {
        let (x, dy, before) = (tensor(shape, 442), tensor(shape, 443), state(features, 444));
        let mut reference = cpu::Layer::with_state(&descriptor(features), &before);
        let truth = cpu::train(&x, shape, &mut reference, &cpu::Options::default()).saved;
        for plan in paths() {
            let want = train(&layer(&descriptor(features), &before), shape, &x, &dy, plan);
            let norm = layer(&descriptor(features), &before);
            let (bytes, stride) = (norm.saved_bytes(), norm.parameter_stride() as usize);
            assert_eq!((stride, bytes), ((features as usize).next_multiple_of(64), 6 * 4 * stride as u64));
            let saved = gpu().upload(&vec![MARGIN; 64 + 6 * stride + 64]);
            let [xb, y, dyb, dx] = [&x, &x, &dy, &x].map(|values| gpu().upload(values));
            let training = Training::new(whole(&xb), whole(&y)).saved(part(&saved, 256, bytes)).plan(plan);
            let step = norm.prepare_training(shape, training).unwrap();
            let backward = Backward::of(whole(&dyb)).input_gradient(whole(&dx)).plan(plan);
            let back = norm.prepare_backward(&step, backward).unwrap();
            gpu().run(|pass| step.record(pass)).unwrap();
            gpu().run(|pass| back.record(pass)).unwrap();
            let what = format!("{shape}, [{plan}]");
            assert!(values(&dx) == want.dx && values(&y) == want.y, "{what}");

            let saved: Vec<f32> = download(&gpu().device, &gpu().queue, whole(&saved));
            assert!(saved[..64].iter().chain(&saved[64 + 6 * stride..]).all(|v| *v == MARGIN), "{what}");
            let vector = |k: usize| &saved[64 + k * stride..][..features as usize];
            let mean: Vec<f64> =
                vector(0).iter().zip(vector(1)).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            for (c, truth) in truth.iter().enumerate() {
                let error = (mean[c] - truth.mean).abs() * truth.invstd;
                assert!(error <= FORWARD && vector(1)[c].abs() <= 1e-6, "{what}: mean[{c}], {error:e}");
            }
            let invstd: Vec<f64> = truth.iter().map(|saved| saved.invstd).collect();
            assert_close(&what, vector(2), &invstd, |c| invstd[c], FORWARD);
            assert_eq!(vector(3), before.weight, "{what}");
            let share = 1.0 / shape.count() as f32;
            assert!(vector(4).iter().all(|v| (v - share).abs() <= 2e-7 * share), "{what}");
            assert_eq!(vector(5), before.bias, "{what}");
        }
    }
}

#[test]
fn a_layer_without_a_place_for_what_is_saved() {
    let norm = layer(&descriptor(8), &state(8, 445));
    let (x, y, saved) = (gpu().empty(64), gpu().empty(64), gpu().empty(400));
    let bytes = norm.saved_bytes();
    let error = |saved| {
        let training = Training::new(whole(&x), whole(&y)).saved(saved);
        norm.prepare_training(Shape::rows(8, 8), training).unwrap_err()
    };
    let tensor = Tensor::SavedStatistics;
    let too_small = BindingError::TooSmall { tensor, required: bytes, given: bytes - 4 };
    assert_eq!(error(part(&saved, 0, bytes - 4)), PrepareError::Binding(too_small));
    let PrepareError::Binding(BindingError::Misaligned { given: 4, .. }) = error(part(&saved, 4, bytes))
    else {
        panic!("required an error of the offset")
    };
}
