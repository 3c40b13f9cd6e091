//! A batch in parts: as the whole batch, to the layer's tolerances.

use testkit::close::assert_trained;
use testkit::gpu::{download, gpu, part, whole};
use testkit::hard::Data;
use testkit::layer::{descriptor, layer, read_state};
use testkit::parts::{Cut, Records, train};
use testkit::random::{state, tensor};
use testkit::train;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, BindingError, Evaluation, Finalize, FinalizeGradients, Moments,
    Path, PlanError, PlanRequest, PrepareError, Shape, State, Statistics, Tensor, Training, cpu,
};

const BATCH: u32 = 9;

fn shapes() -> [fn(u32) -> Shape; 5] {
    [
        |batch| Shape::rows(batch, 7),
        |batch| Shape::rows(batch, 16),
        |batch| Shape::channels_first(batch, 5, &[4, 4]),
        |batch| Shape::channels_first(batch, 6, &[7, 3]),
        |batch| Shape::channels_last(batch, &[3, 5], 8),
    ]
}

/// Parts of one example and of none too.
const CUTS: [&[u32]; 6] = [&[9], &[4, 5], &[1, 8], &[0, 2, 0, 7], &[9, 0], &[1; 9]];

#[test]
fn parts_are_the_batch() {
    for shape in shapes() {
        let (of_batch, c) = (shape(BATCH), shape(1).features());
        let (x, dy, before) = (tensor(of_batch, 701), tensor(of_batch, 702), state(c, 703));
        let reference = cpu::Layer::with_state(&descriptor(c), &before);
        for (i, sizes) in CUTS.into_iter().enumerate() {
            for records in [Records::Each, Records::One] {
                let cut = Cut { sizes, records, one_buffer: i % 2 == 0, plan: PlanRequest::new() };
                let got = train(&layer(&descriptor(c), &before), shape, cut, &x, &dy);
                assert_trained(&format!("{of_batch} in {cut:?}"), &got, of_batch, &reference, &x, &dy);
            }
        }
    }
}

#[test]
fn parts_with_a_large_mean_are_the_batch() {
    for shape in shapes() {
        let (of_batch, c) = (shape(BATCH), shape(1).features());
        let (x, dy, before) = (Data::LargeMean.tensor(of_batch, 711), tensor(of_batch, 712), state(c, 713));
        let reference = cpu::Layer::with_state(&descriptor(c), &before);
        for records in [Records::Each, Records::One] {
            let cut = Cut { sizes: &[1, 3, 5], records, one_buffer: false, plan: PlanRequest::new() };
            let got = train(&layer(&descriptor(c), &before), shape, cut, &x, &dy);
            assert_trained(&format!("{of_batch} in {cut:?}"), &got, of_batch, &reference, &x, &dy);
        }
    }
}

#[test]
fn one_part_gives_the_bits_of_the_fused_step() {
    for shape in shapes() {
        let (of_batch, c) = (shape(BATCH), shape(1).features());
        let (x, dy, before) = (tensor(of_batch, 721), tensor(of_batch, 722), state(c, 723));
        for splits in [1, 3] {
            let plan = PlanRequest::new().splits(splits);
            let fused =
                train::train(&layer(&descriptor(c), &before), of_batch, &x, &dy, plan.path(Path::Split));
            for records in [Records::Each, Records::One] {
                let cut = Cut { sizes: &[BATCH], records, one_buffer: true, plan };
                let got = train(&layer(&descriptor(c), &before), shape, cut, &x, &dy);
                assert!(got == fused, "{of_batch}, {splits} splits");
            }
        }
    }
}

#[test]
fn the_same_partition_gives_the_same_bits() {
    for shape in shapes() {
        let (of_batch, c) = (shape(BATCH), shape(1).features());
        let (x, dy, before) = (tensor(of_batch, 731), tensor(of_batch, 732), state(c, 733));
        for records in [Records::Each, Records::One] {
            let run = |one_buffer| {
                let cut = Cut { sizes: &[2, 4, 3], records, one_buffer, plan: PlanRequest::new() };
                train(&layer(&descriptor(c), &before), shape, cut, &x, &dy)
            };
            let first = run(false);
            assert!(first == run(false) && first == run(true), "{of_batch}, {records:?}");
        }
    }
}

/// Where running statistics normalize, gradients of parts are those of the batch, too.
#[test]
fn frozen_parts_are_the_batch() {
    let shape = |batch| Shape::channels_first(batch, 3, &[5]);
    let (of_batch, before) = (shape(6), state(3, 743));
    let (x, dy) = (tensor(of_batch, 741), tensor(of_batch, 742));
    let norm = layer(&descriptor(3), &before);
    let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
    let training = Training::new(whole(&input), whole(&output)).statistics(Statistics::Running);
    let step = norm.prepare_training(of_batch, training).unwrap();
    let (dy, dx) = (gpu().upload(&dy), gpu().empty(x.len()));
    let back = Backward::of(whole(&dy)).input_gradient(whole(&dx));
    let back = norm.prepare_backward(&step, back).unwrap();
    gpu()
        .run(|pass| {
            step.record(pass);
            back.record(pass);
        })
        .unwrap();
    let want = (testkit::gpu::values(&output), testkit::gpu::values(&dx), read_state(&norm));

    let norm = layer(&descriptor(3), &before);
    let record = gpu().empty(norm.moments_bytes() as usize / 4);
    let sums = gpu().empty(norm.gradient_sums_bytes() as usize / 4);
    let (output, dx) = (gpu().empty(x.len()), gpu().empty(x.len()));
    let moments = norm.prepare_moments(of_batch, Moments::new(whole(&input), whole(&record))).unwrap();
    let finalize = Finalize::new(whole(&record), 1).statistics(Statistics::Running);
    let finalize = norm.prepare_finalize(finalize).unwrap();
    let tensors = Evaluation::new(whole(&input), whole(&output));
    let apply = norm.prepare_apply(&finalize, of_batch, tensors).unwrap();
    let gradient_sums = norm.prepare_gradient_sums(&apply, Backward::of(whole(&dy)), whole(&sums)).unwrap();
    let gradients = FinalizeGradients::new(whole(&sums), 1);
    let gradients = norm.prepare_finalize_gradients(&finalize, gradients).unwrap();
    let backward = Backward::of(whole(&dy)).input_gradient(whole(&dx));
    let input_gradient = norm.prepare_input_gradient(&apply, &gradients, backward).unwrap();
    gpu()
        .run(|pass| {
            moments.record(pass);
            finalize.record(pass);
            apply.record(pass);
            gradient_sums.record(pass);
            gradients.record(pass);
            input_gradient.record(pass);
        })
        .unwrap();
    assert_eq!((testkit::gpu::values(&output), testkit::gpu::values(&dx)), (want.0, want.1));
    let running = |state: &State| [state.running_mean.clone(), state.running_var.clone()].concat();
    let reference = cpu::Layer::with_state(&descriptor(3), &want.2);
    for (got, want) in running(&read_state(&norm)).iter().zip(running(&want.2)) {
        assert!((got - want).abs() <= 5e-7 * want.abs().max(1.0), "{got} for {want}");
    }
    assert_eq!(read_state(&norm).num_batches_tracked, reference.num_batches_tracked);
}

/// Running statistics of a whole data set, batch by batch: as after the averaging of weights.
#[test]
fn precise_statistics() {
    const BATCHES: u32 = 60;
    for data in [Data::Normal, Data::LargeMean, Data::RampUp] {
        let shape = |batch| Shape::channels_first(batch, 4, &[6]);
        let of_set = shape(5 * BATCHES);
        let x = data.tensor(of_set, 751);
        let norm = layer(&descriptor(4), &state(4, 752));
        let input = gpu().upload(&x);
        let record = gpu().empty(norm.moments_bytes() as usize / 4);
        let bytes = shape(5).bytes();
        let aligned = gpu().empty(shape(5).elements() as usize);
        let moments = Moments::new(whole(&aligned), whole(&record)).accumulate(true);
        let moments = norm.prepare_moments(shape(5), moments).unwrap();
        let finalize = Finalize::new(whole(&record), 1).batch_share(1.0);
        let finalize = norm.prepare_finalize(finalize).unwrap();
        for batch in 0..u64::from(BATCHES) {
            let mut encoder = gpu().device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&input, batch * bytes, &aligned, 0, bytes);
            moments.record(&mut encoder.begin_compute_pass(&Default::default()));
            gpu().queue.submit([encoder.finish()]);
        }
        gpu().run(|pass| finalize.record(pass)).unwrap();
        let got = read_state(&norm);
        let mut reference = cpu::Layer::with_state(
            &BatchNormDescriptor { momentum: Some(1.0), ..descriptor(4) },
            &state(4, 752),
        );
        cpu::train(&x, of_set, &mut reference, &cpu::Options::default());
        testkit::close::assert_state(&format!("{data:?}"), &got, &reference, testkit::scales::FORWARD);
    }
}

/// A record as it is documented.
#[test]
fn a_record_of_moments_is_documented() {
    let shape = Shape::rows(4, 3);
    let x = [1.0, 10.0, -3.0, 3.0, 20.0, -3.0, 5.0, 30.0, -3.0, 7.0, 40.0, -3.0];
    let norm = layer(&descriptor(3), &state(3, 761));
    let (input, record) = (gpu().upload(&x), gpu().empty(norm.moments_bytes() as usize / 4));
    let moments = norm.prepare_moments(shape, Moments::new(whole(&input), whole(&record))).unwrap();
    gpu().run(|pass| moments.record(pass)).unwrap();
    let (values, stride) = (testkit::gpu::values(&record), norm.parameter_stride() as usize);
    let vector = |k: usize| &values[k * stride..][..3];
    assert_eq!((values.len(), vector(0)), (4 * stride, &[4.0; 3][..]));
    assert_eq!((vector(1), vector(2)), (&[4.0, 25.0, -3.0][..], &[0.0; 3][..]));
    assert_eq!(vector(3), &[5.0 / 16.0, 125.0 / 16.0, 0.0]);
    // Nothing is written between the vectors.
    assert!(values.chunks(stride).all(|vector| vector[3..].iter().all(|v| *v == 0.0)));
}

fn parts_of(norm: &BatchNorm) -> [wgpu_batchnorm::wgpu::Buffer; 3] {
    let words = |bytes: u64| bytes as usize / 4;
    [words(norm.moments_bytes()), words(norm.gradient_sums_bytes()), 64].map(|len| gpu().empty(len))
}

#[test]
fn what_parts_are_refused() {
    let shape = Shape::rows(4, 8);
    let norm = layer(&descriptor(8), &state(8, 771));
    let [record, sums, x] = parts_of(&norm);
    let tensors = || Evaluation::new(whole(&x), whole(&x));

    let small = Moments::new(whole(&x), part(&record, 0, norm.moments_bytes() - 4));
    let error = norm.prepare_moments(shape, small).unwrap_err();
    let required = norm.moments_bytes();
    assert_eq!(
        error,
        BindingError::TooSmall { tensor: Tensor::Moments, required, given: required - 4 }.into()
    );
    let error = norm.prepare_moments(shape, Moments::new(whole(&record), whole(&record))).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::Overlap { .. })), "{error}");

    let error = norm.prepare_finalize(Finalize::new(whole(&record), 2)).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::TooSmall { .. })), "{error}");
    let error = norm.prepare_finalize(Finalize::new(whole(&record), 0)).unwrap_err();
    assert!(matches!(error, PrepareError::Plan(PlanError::Request { .. })), "{error}");
    let error = norm.prepare_finalize(Finalize::new(whole(&record), 1).values(1)).unwrap_err();
    assert!(matches!(error, PrepareError::OneValuePerFeature { given: 1, .. }), "{error}");
    let error = norm.prepare_finalize(Finalize::new(whole(&record), 1).batch_share(1.5)).unwrap_err();
    assert_eq!(error, PrepareError::BatchShare { given: 1.5 });
    let saved = Finalize::new(whole(&record), 1).saved(whole(&record));
    assert!(norm.prepare_finalize(saved).is_err());

    let finalize = norm.prepare_finalize(Finalize::new(whole(&record), 1)).unwrap();
    let other = layer(&descriptor(8), &state(8, 772));
    assert_eq!(other.prepare_apply(&finalize, shape, tensors()).unwrap_err(), PrepareError::OtherLayer);
    let y = gpu().empty(64);
    let apply = norm.prepare_apply(&finalize, shape, Evaluation::new(whole(&x), whole(&y))).unwrap();
    let dy = gpu().empty(64);
    let backward = || Backward::of(whole(&dy));
    let error = norm.prepare_backward(&apply, backward().input_gradient(whole(&y))).unwrap_err();
    assert_eq!(error, PrepareError::PartOfBatch);
    let dx = backward().input_gradient(whole(&y));
    let error = norm.prepare_gradient_sums(&apply, dx, whole(&sums)).unwrap_err();
    assert!(matches!(error, PrepareError::OtherStep { tensor: Tensor::InputGradient, .. }), "{error}");
    let error = norm.prepare_gradient_sums(&apply, backward(), whole(&dy)).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(_)), "{error}");
    let gradients = FinalizeGradients::new(whole(&sums), 1);
    let finalized = norm.prepare_finalize_gradients(&finalize, gradients).unwrap();
    let dweight = backward().weight_gradient(whole(&y));
    let error = norm.prepare_input_gradient(&apply, &finalized, dweight).unwrap_err();
    assert!(matches!(error, PrepareError::OtherStep { tensor: Tensor::WeightGradient, .. }), "{error}");
    let error = norm.prepare_input_gradient(&apply, &finalized, backward()).unwrap_err();
    assert!(matches!(error, PrepareError::NoGradient { tensor: Tensor::InputGradient }), "{error}");
    let _: Vec<f32> = download(&gpu().device, &gpu().queue, whole(&record));
}

/// Steps of parts can be rebound to other tensors, as others can.
#[test]
fn parts_are_rebound() {
    let shape = Shape::rows(6, 5);
    let (x, before) = (tensor(shape, 781), state(5, 782));
    let norm = layer(&descriptor(5), &before);
    let [record, sums, _] = parts_of(&norm);
    let [a, b, y, z, dy] = [&x, &x, &x, &x, &x].map(|x| gpu().upload(x));
    let finalize = norm.prepare_finalize(Finalize::new(whole(&record), 1)).unwrap();
    let mut apply = norm.prepare_apply(&finalize, shape, Evaluation::new(whole(&a), whole(&y))).unwrap();
    let mut back = norm.prepare_gradient_sums(&apply, Backward::of(whole(&dy)), whole(&sums)).unwrap();
    apply.rebind(&norm, Evaluation::new(whole(&b), whole(&z))).unwrap();
    back.rebind(&norm, &apply, Backward::of(whole(&dy))).unwrap();
    gpu().queue.write_buffer(&a, 0, bytemuck::cast_slice(&vec![f32::NAN; x.len()]));
    let moments = norm.prepare_moments(shape, Moments::new(whole(&b), whole(&record))).unwrap();
    gpu()
        .run(|pass| {
            moments.record(pass);
            finalize.record(pass);
            apply.record(pass);
            back.record(pass);
        })
        .unwrap();
    let stride = norm.parameter_stride() as usize;
    let sums = testkit::gpu::values(&sums);
    // dy is x: Σdy is the sum, Σdy·x̂ is count · std, but for eps.
    for c in 0..5 {
        let values: Vec<f64> = x.iter().skip(c).step_by(5).map(|v| f64::from(*v)).collect();
        let sum: f64 = values.iter().sum();
        let var = values.iter().map(|v| (v - sum / 6.0).powi(2)).sum::<f64>() / 6.0;
        let want = [sum, 6.0 * var / (var + 1e-5).sqrt()];
        for (got, want) in [sums[c], sums[stride + c]].iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 2e-6 * (1.0 + want.abs()), "{got} for {want}");
        }
    }
}
