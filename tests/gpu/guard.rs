//! What keeps running statistics from moving: the guard, and the caller's flag.

use testkit::close::assert_state;
use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::masks::Masked;
use testkit::plans::{paths, plans, turns};
use testkit::random::{state, tensor};
use testkit::scales::FORWARD;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, BindingError, Guard, Mask, PlanRequest, PrepareError, Shape, State,
    Statistics, Tensor, Training, cpu,
};

pub fn shapes() -> [Shape; 3] {
    [Shape::rows(40, 8), Shape::channels_first(5, 6, &[4, 4]), Shape::channels_first(5, 7, &[3, 3])]
}

/// A NaN in feature 1, an infinity in feature 3; feature 4's variance is beyond float32.
pub fn poisoned(shape: Shape) -> Vec<f32> {
    let layout = testkit::layout::Layout::of(shape);
    let mut x = tensor(shape, 901);
    let first =
        |feature: usize| (0..).find(|&i| layout.feature(i) == feature && layout.position(i) == 9).unwrap();
    (x[first(1)], x[first(3)]) = (f32::NAN, f32::NEG_INFINITY);
    x.iter_mut().enumerate().filter(|(i, _)| layout.feature(*i) == 4).for_each(|(_, v)| *v *= 1e25);
    x
}

fn skipped(norm: &BatchNorm) -> Vec<u32> {
    pollster::block_on(norm.read_skipped(&gpu().queue)).unwrap()
}

/// Running statistics by their bits, since some are NaN.
fn bits(state: &State) -> (Vec<u32>, Vec<u32>, u64) {
    let of = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect();
    (of(&state.running_mean), of(&state.running_var), state.num_batches_tracked)
}

/// What a training step is asked for beside its tensors.
#[derive(Clone, Default)]
struct With<'a> {
    statistics: Statistics,
    guard: Guard,
    mask: Option<Mask<'a>>,
    plan: PlanRequest,
}

fn guarded() -> With<'static> {
    With { guard: Guard::SkipNonFinite, ..Default::default() }
}

impl<'a> With<'a> {
    fn of(self, training: Training<'a>) -> Training<'a> {
        let training = training.statistics(self.statistics).guard(self.guard).plan(self.plan);
        match self.mask {
            Some(mask) => training.mask(mask),
            None => training,
        }
    }
}

/// A step from x, run as often; returns y.
#[track_caller]
fn run(norm: &BatchNorm, shape: Shape, x: &[f32], times: usize, with: With<'_>) -> Vec<f32> {
    let (input, output) = (gpu().upload(x), gpu().empty(x.len()));
    let step = norm.prepare_training(shape, with.of(Training::new(whole(&input), whole(&output)))).unwrap();
    for _ in 0..times {
        gpu().run(|pass| step.record(pass)).unwrap();
    }
    values(&output)
}

#[test]
fn skipped_features_keep_their_running_statistics() {
    for shape in shapes() {
        let (d, before) = (descriptor(shape.features()), state(shape.features(), 902));
        let x = poisoned(shape);
        for plan in plans(shape) {
            for statistics in [Statistics::Batch, Statistics::Running] {
                let what = format!("{shape}, [{plan}], {statistics:?}");
                let norm = layer(&d, &before);
                let plain = With { statistics, plan, ..With::default() };
                let y = run(&norm, shape, &x, 2, With { guard: Guard::SkipNonFinite, ..plain.clone() });
                let mut reference = cpu::Layer::with_state(&d, &before);
                let options = cpu::Options::default().statistics(statistics).skip_non_finite(true);
                let skips =
                    (0..2).map(|_| cpu::train(&x, shape, &mut reference, &options).skipped).last().unwrap();
                assert_eq!(skips, [1, 3, 4]);
                let after = read_state(&norm);
                assert_state(&what, &after, &reference, FORWARD);
                for &c in &skips {
                    assert_eq!(after.running_mean[c], before.running_mean[c], "{what}");
                    assert_eq!(after.running_var[c], before.running_var[c], "{what}");
                }
                let counts: Vec<u32> =
                    (0..shape.features() as usize).map(|c| 2 * u32::from(skips.contains(&c))).collect();
                assert_eq!(skipped(&norm), counts, "{what}");

                // Without a guard y is the same, and so is what moves.
                let unguarded = layer(&d, &before);
                let want = run(&unguarded, shape, &x, 2, plain);
                let same = y
                    .iter()
                    .zip(&want)
                    .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
                assert!(same || statistics == Statistics::Running, "{what}");
                let moved = read_state(&unguarded);
                assert_eq!(moved.running_mean[0], after.running_mean[0], "{what}");
                assert!(moved.running_mean[1].is_nan() && !moved.running_var[4].is_finite(), "{what}");
                assert_eq!(skipped(&unguarded), vec![0; shape.features() as usize], "{what}");
            }
        }
    }
}

#[test]
fn the_count_of_what_is_skipped_is_the_callers_to_reset() {
    let (shape, before) = (shapes()[0], state(8, 903));
    let norm = layer(&descriptor(8), &before);
    let binding = norm.skipped().unwrap();
    let (buffer, offset) = (binding.buffer.clone(), binding.offset);
    gpu().queue.write_buffer(
        &buffer,
        offset,
        bytemuck::cast_slice(&[7, u32::MAX, 0, u32::MAX - 1, 0, 0, 0, 0u32]),
    );
    run(&norm, shape, &poisoned(shape), 3, guarded());
    assert_eq!(skipped(&norm), [7, u32::MAX, 0, u32::MAX, 3, 0, 0, 0]);
    // It is no part of the state.
    norm.set_state(&gpu().queue, &before).unwrap();
    assert_eq!(skipped(&norm)[4], 3);
    assert_eq!(read_state(&norm), before);
    let untracked = BatchNormDescriptor { track_running_stats: false, ..descriptor(8) };
    let norm = layer(&untracked, &before);
    run(&norm, shape, &poisoned(shape), 1, guarded());
    assert!(norm.skipped().is_none() && skipped(&norm).is_empty());
}

#[test]
fn padding_is_never_skipped() {
    for plan in paths() {
        let shape = shapes()[1];
        let mask = Masked::random_lengths(shape, 904);
        let x = mask.poisoned(tensor(shape, 905), shape);
        let norm = layer(&descriptor(6), &state(6, 906));
        for mask in [mask, Masked::lengths(shape, vec![0; 5])] {
            let words = mask.upload();
            run(&norm, shape, &x, 1, With { mask: Some(mask.whole(&words)), plan, ..guarded() });
        }
        assert_eq!(skipped(&norm), [0; 6]);
        assert_eq!(read_state(&norm).num_batches_tracked, 2);
    }
}

/// The flag is read each time, beside a guard and a mask and without, in a buffer of its own and in that of x.
#[test]
fn nothing_moves_without_a_commit() {
    for shape in shapes() {
        let features = shape.features() as usize;
        let (x, before) = (poisoned(shape), state(shape.features(), 907));
        let mask = Masked::random(shape, 0.7, 908);
        let words = mask.upload();
        for plan in turns(shape) {
            for (guard, masked) in
                [(Guard::None, false), (Guard::SkipNonFinite, true), (Guard::SkipNonFinite, false)]
            {
                let what = format!("{shape}, [{plan}], {guard:?}, {masked}");
                let norm = layer(&descriptor(shape.features()), &before);
                let mask = masked.then(|| mask.whole(&words));
                let with = With { guard, mask, plan, ..With::default() };
                let (input, output, flag) = (gpu().upload(&x), gpu().empty(x.len()), gpu().empty(1));
                let training = Training::new(whole(&input), whole(&output)).commit(whole(&flag));
                let training = with.clone().of(training);
                let step = norm.prepare_training(shape, training).unwrap();
                let mut ys = Vec::new();
                for value in [0u32, 1, 0, 1 << 31] {
                    gpu().queue.write_buffer(&flag, 0, bytemuck::bytes_of(&value));
                    let (state, counts) = (bits(&read_state(&norm)), skipped(&norm));
                    gpu().run(|pass| step.record(pass)).unwrap();
                    let unmoved = bits(&read_state(&norm)) == state && skipped(&norm) == counts;
                    assert_eq!(unmoved, value == 0, "{what}, flag {value}");
                    ys.push(values(&output).iter().map(|y| y.to_bits()).collect::<Vec<_>>());
                }
                assert!(ys.iter().all(|y| *y == ys[0]), "{what}: y depends on the flag");
                assert_eq!(read_state(&norm).num_batches_tracked, 2, "{what}");
                let skips = skipped(&norm).iter().filter(|&&count| count > 0).count();
                assert_eq!(skips > 0, guard == Guard::SkipNonFinite, "{what}");
                assert_eq!(skipped(&norm).len(), features);

                // Committed, all is as without a flag.
                let plain = layer(&descriptor(shape.features()), &before);
                run(&plain, shape, &x, 2, with);
                assert_eq!(bits(&read_state(&plain)), bits(&read_state(&norm)), "{what}");
            }
        }
    }
}

#[test]
fn an_empty_batch_is_counted_where_it_is_committed() {
    let norm = layer(&descriptor(8), &state(8, 909));
    let (x, y, flag) = (gpu().empty(1), gpu().empty(1), gpu().empty(1));
    let training = Training::new(whole(&x), whole(&y)).commit(whole(&flag)).guard(Guard::SkipNonFinite);
    let step = norm.prepare_training(Shape::rows(0, 8), training).unwrap();
    for (value, count) in [(0u32, 0), (1, 1), (0, 1), (5, 2)] {
        gpu().queue.write_buffer(&flag, 0, bytemuck::bytes_of(&value));
        gpu().run(|pass| step.record(pass)).unwrap();
        assert_eq!(read_state(&norm), State { num_batches_tracked: count, ..state(8, 909) });
    }
}

#[test]
fn where_nothing_moves_no_flag_is_bound() {
    let (norm, small) = (layer(&descriptor(8), &state(8, 910)), gpu().empty(1));
    let (x, y) = (gpu().empty(320), gpu().empty(320));
    // The layer's own buffer would be refused.
    let own = norm.weight().unwrap();
    let training = Training::new(whole(&x), whole(&y)).commit(own.clone());
    let error = norm.prepare_training(shapes()[0], training.clone()).unwrap_err();
    assert_eq!(error, PrepareError::LayersOwn { tensor: Tensor::Commit });
    norm.prepare_training(shapes()[0], training.update_running(false)).unwrap();
    let training = Training::new(whole(&x), whole(&y)).commit(testkit::gpu::part(&small, 4, 0));
    let PrepareError::Binding(BindingError::Misaligned { tensor: Tensor::Commit, given: 4, .. }) =
        norm.prepare_training(shapes()[0], training).unwrap_err()
    else {
        panic!("required an error of the offset")
    };
    let training = Training::new(whole(&x), whole(&y)).commit(whole(&y));
    let error = norm.prepare_training(shapes()[0], training).unwrap_err();
    let PrepareError::Binding(BindingError::Overlap { first, second, .. }) = error else { panic!("{error}") };
    assert_eq!([first, second], [Tensor::Commit, Tensor::Output]);
}
