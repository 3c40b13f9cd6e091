//! The count of batches at its end, momentum that changes, and the state of several layers at once.

use testkit::gpu::{gpu, values, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::plans::paths;
use testkit::prepare;
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, DescriptorError, ForwardStep, PlanRequest, Shape, State, cpu,
    read_states, wgpu,
};

const END: u64 = u32::MAX as u64;

/// Rows whose packets are 4 and 1 values, and planes.
fn shapes() -> [Shape; 3] {
    [Shape::rows(40, 8), Shape::rows(40, 5), Shape::channels_first(10, 5, &[2, 2])]
}

#[test]
fn the_count_of_batches_stays_at_its_end() {
    for shape in shapes() {
        let c = shape.features();
        let x = tensor(shape, 351);
        for plan in paths() {
            let norm = layer(&descriptor(c), &state(c, 352));
            let set = |count| {
                let counted = State { num_batches_tracked: count, ..read_state(&norm) };
                norm.set_state(&gpu().queue, &counted).unwrap();
            };
            for (before, after) in
                [(END - 2, END - 1), (END - 1, END), (END, END), (END + 1, END), (u64::MAX, END)]
            {
                set(before);
                let got = train(&norm, shape, &x, &x, plan).state.num_batches_tracked;
                assert_eq!(got, after, "{before} batches of {shape}, [{plan}]");
            }
            // A count that does not fit is set to the end, and read back so.
            set(END + 5);
            assert_eq!(read_state(&norm).num_batches_tracked, END);
            let counts = norm.num_batches_tracked().unwrap();
            let counts: Vec<u32> = testkit::gpu::download(&gpu().device, &gpu().queue, counts);
            assert_eq!(counts, vec![u32::MAX; c as usize]);
        }
    }
}

#[test]
fn an_empty_batch_does_not_count_past_the_end() {
    let norm = layer(&descriptor(5), &State { num_batches_tracked: END, ..state(5, 353) });
    let buffer = gpu().empty(1);
    let step =
        prepare::training(&norm, Shape::rows(0, 5), whole(&buffer), whole(&buffer), PlanRequest::default());
    gpu().run(|pass| step.record(pass)).unwrap();
    assert_eq!(read_state(&norm).num_batches_tracked, END);
}

/// The share of a batch is 1 / count: a count that wrapped around would divide by zero.
#[test]
fn the_cumulative_average_at_the_end_keeps_the_statistics() {
    for shape in shapes() {
        let c = shape.features();
        let cumulative = BatchNormDescriptor { momentum: None, ..descriptor(c) };
        let before = State { num_batches_tracked: END, ..state(c, 354) };
        for plan in paths() {
            let norm = layer(&cumulative, &before);
            let after = train(&norm, shape, &tensor(shape, 355), &tensor(shape, 356), plan).state;
            let pairs =
                [(&after.running_mean, &before.running_mean), (&after.running_var, &before.running_var)];
            for (after, before) in pairs.into_iter().flat_map(|(a, b)| a.iter().zip(b)) {
                assert!((after - before).abs() <= 1e-6 * before.abs(), "{after} after {before}, [{plan}]");
            }
        }
    }
}

#[test]
fn momentum_changes_for_steps_prepared_later() {
    let shape = Shape::rows(40, 8);
    let (x, before) = (tensor(shape, 357), state(8, 358));
    let mut norm = layer(&descriptor(8), &before);
    let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
    let prepare = |norm: &BatchNorm| {
        prepare::training(norm, shape, whole(&input), whole(&output), PlanRequest::default())
    };
    let after = |norm: &BatchNorm, step: &ForwardStep| {
        norm.set_state(&gpu().queue, &before).unwrap();
        gpu().run(|pass| step.record(pass)).unwrap();
        read_state(norm)
    };
    let with = |momentum| {
        let norm = layer(&BatchNormDescriptor { momentum, ..descriptor(8) }, &before);
        after(&norm, &prepare(&norm))
    };
    let earlier = prepare(&norm);
    for momentum in [Some(1.0), Some(0.0), None, Some(0.25)] {
        norm.set_momentum(momentum).unwrap();
        assert_eq!(norm.descriptor().momentum, momentum);
        let later = prepare(&norm);
        assert_eq!(after(&norm, &later), with(momentum), "{momentum:?}");
        assert_eq!(after(&norm, &earlier), with(Some(0.1)), "the step from before {momentum:?}");
    }
    for bad in [-0.1, 1.5, f32::NAN, f32::INFINITY] {
        let error = norm.set_momentum(Some(bad)).unwrap_err();
        assert!(matches!(error, DescriptorError::Momentum { given } if given.to_bits() == bad.to_bits()));
        assert_eq!(norm.descriptor().momentum, Some(0.25), "unchanged after {bad}");
    }
    assert_eq!(after(&norm, &prepare(&norm)), with(Some(0.25)));
}

#[test]
fn states_of_several_layers_are_read_at_once() {
    let descriptors = [
        descriptor(8),
        BatchNormDescriptor { bias: false, ..descriptor(300) },
        BatchNormDescriptor { track_running_stats: false, ..descriptor(1) },
        BatchNormDescriptor { weight: false, bias: false, track_running_stats: false, ..descriptor(7) },
        descriptor(65),
    ];
    let states: Vec<State> = descriptors
        .iter()
        .enumerate()
        .map(|(i, d)| {
            let count = if d.track_running_stats { 10 + i as u64 } else { 0 };
            State { num_batches_tracked: count, ..cut(d, &state(d.features, 360 + i as u64)) }
        })
        .collect();
    let norms: Vec<BatchNorm> = descriptors.iter().zip(&states).map(|(d, s)| layer(d, s)).collect();
    let read = |norms: &[&BatchNorm]| pollster::block_on(read_states(&gpu().queue, norms)).unwrap();
    assert_eq!(read(&norms.iter().collect::<Vec<_>>()), states);
    assert_eq!(read(&[&norms[4], &norms[0], &norms[4]]), [4, 0, 4].map(|i| states[i].clone()));
    assert_eq!(read(&[]), []);
}

/// A state is read after the work submitted before, without a wait for all of the device.
#[test]
fn a_state_is_what_work_submitted_before_left() {
    let shape = Shape::rows(40, 8);
    let (x, before) = (tensor(shape, 371), state(8, 372));
    let norm = layer(&descriptor(8), &before);
    let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
    let step = prepare::training(&norm, shape, whole(&input), whole(&output), PlanRequest::default());
    let submit = |times: usize| {
        let mut encoder = gpu().device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        (0..times).for_each(|_| step.record(&mut pass));
        drop(pass);
        gpu().queue.submit([encoder.finish()]);
    };
    submit(3);
    let read = pollster::block_on(norm.read_state(&gpu().queue)).unwrap();
    submit(2);
    assert_eq!(read.num_batches_tracked, 3);
    assert_eq!(read_state(&norm).num_batches_tracked, 5);
    assert_eq!(values(&output).len(), x.len());
    let mut reference = cpu::Layer::with_state(&descriptor(8), &before);
    for _ in 0..3 {
        cpu::train(&x, shape, &mut reference, &cpu::Options::default());
    }
    testkit::close::assert_state("three steps", &read, &reference, testkit::scales::FORWARD);
}
