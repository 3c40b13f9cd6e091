//! Masks of tensors in pieces, of parts of a batch, and of virtual batches: as of the whole batch, or of each in turn.

use testkit::gpu::{context, gpu, part, values, whole};
use testkit::layer::{descriptor, layer, layer_in, read_state};
use testkit::masks::{Masked, assert_masked};
use testkit::random::{state, tensor};
use testkit::train::Trained;
use wgpu_batchnorm::{
    Backward, Context, ContextOptions, DeviceProfile, Evaluation, Finalize, FinalizeGradients, Guard,
    MaskKind, Moments, PlanRequest, Shape, State, Statistics, Step, Training, cpu, wgpu,
};

use crate::masks::train_masked;

fn binding_at_most(bytes: u64) -> Context {
    let mut profile = DeviceProfile::of(&gpu().device);
    profile.max_binding = bytes;
    Context::with_options(&gpu().device, ContextOptions::default().profile(profile))
}

#[test]
fn tensors_in_pieces() {
    let small = binding_at_most(40_000);
    for (k, shape) in [
        Shape::rows(9001, 7),
        Shape::rows(2000, 32),
        Shape::channels_first(777, 5, &[15]),
        Shape::channels_first(77, 3, &[16, 16]),
        Shape::channels_last(3, &[41, 50], 9),
    ]
    .into_iter()
    .enumerate()
    {
        let (d, before) = (descriptor(shape.features()), state(shape.features(), 931));
        for mask in [Masked::random(shape, 0.4, k as u64), Masked::random_lengths(shape, 10 + k as u64)] {
            let [x, dy] = [932, 933].map(|seed| mask.poisoned(tensor(shape, seed), shape));
            for plan in [PlanRequest::new(), PlanRequest::new().splits(3).packet(1).workgroup(8)] {
                let norm = layer_in(&small, &d, &before);
                let got = train_masked(&norm, shape, [&x, &dy], &mask, Statistics::Batch, plan);
                let mut reference = cpu::Layer::with_state(&d, &before);
                let what = format!("{shape}, [{plan}], {:?}", mask.kind);
                let options = cpu::Options::default();
                assert_masked(&what, &got, shape, &mut reference, [&x, &dy], &options, &mask.valid);
            }
        }
    }
}

/// Parts of which one has no valid value, and one no example, beside the whole batch under the same mask.
#[test]
fn parts_of_a_batch() {
    let shapes: [fn(u32) -> Shape; 3] = [
        |batch| Shape::rows(batch, 8),
        |batch| Shape::channels_first(batch, 6, &[9]),
        |batch| Shape::channels_last(batch, &[5], 12),
    ];
    let sizes = [4, 3, 0, 9];
    for shape in shapes {
        let (all, c) = (shape(16), shape(1).features());
        let positions = all.positions() as usize;
        // The second part, of the examples 4, 5 and 6, has no valid value.
        let lengths = |i: u32| if (4..7).contains(&i) { 0 } else { i % (positions as u32 + 2) };
        let mask = Masked::lengths(all, (0..16).map(lengths).collect());
        let [x, dy] = [934, 935].map(|seed| mask.poisoned(tensor(all, seed), all));
        let (d, before) = (descriptor(c), state(c, 936));
        let norm = layer(&d, &before);
        let gpu = gpu();
        let example = shape(1).elements() as usize;
        let mut first = 0;
        let parts: Vec<_> = sizes
            .into_iter()
            .map(|size| {
                let range = first..first + size as usize;
                first = range.end;
                let cut = |t: &[f32]| {
                    let values = &t[range.start * example..range.end * example];
                    if values.is_empty() { gpu.empty(1) } else { gpu.upload(values) }
                };
                let lengths = mask.words[range.clone()].to_vec();
                let mask = match lengths.is_empty() {
                    true => gpu.empty(1),
                    false => Masked::lengths(shape(size), lengths).upload(),
                };
                (shape(size), [cut(&x), cut(&x), cut(&dy), cut(&dy)], mask, size as usize * example)
            })
            .collect();
        let (moments, sums) = (norm.moments_bytes(), norm.gradient_sums_bytes());
        let [moment_records, sum_records] = [moments, sums].map(|bytes| gpu.empty(4 * bytes as usize / 4));
        let [dweight, dbias] = [(); 2].map(|()| gpu.empty(c as usize));
        let kind = Masked { kind: MaskKind::Lengths, valid: vec![], words: vec![] };
        let finalize = norm.prepare_finalize(Finalize::new(whole(&moment_records), 4)).unwrap();
        let mut steps: [Vec<Box<dyn Step>>; 4] = Default::default();
        let mut applied = Vec::new();
        for (k, (shape, [x, y, dy, _], mask, _)) in parts.iter().enumerate() {
            let record = part(&moment_records, k as u64 * moments, moments);
            let request = Moments::new(whole(x), record).mask(kind.whole(mask));
            steps[0].push(Box::new(norm.prepare_moments(*shape, request).unwrap()));
            let evaluation = Evaluation::new(whole(x), whole(y)).mask(kind.whole(mask));
            let apply = norm.prepare_apply(&finalize, *shape, evaluation).unwrap();
            let record = part(&sum_records, k as u64 * sums, sums);
            let sums = norm.prepare_gradient_sums(&apply, Backward::of(whole(dy)), record).unwrap();
            steps[2].push(Box::new(sums));
            applied.push(apply);
        }
        let wanted = FinalizeGradients::new(whole(&sum_records), 4);
        let wanted = wanted.weight_gradient(whole(&dweight)).bias_gradient(whole(&dbias));
        let finalize_gradients = norm.prepare_finalize_gradients(&finalize, wanted).unwrap();
        for (apply, (_, [_, _, dy, dx], _, _)) in applied.iter().zip(&parts) {
            let backward = Backward::of(whole(dy)).input_gradient(whole(dx));
            let step = norm.prepare_input_gradient(apply, &finalize_gradients, backward).unwrap();
            steps[3].push(Box::new(step));
        }
        gpu.run(|pass| {
            steps[0].iter().for_each(|step| step.record(pass));
            finalize.record(pass);
            applied.iter().for_each(|step| step.record(pass));
            steps[2].iter().for_each(|step| step.record(pass));
            finalize_gradients.record(pass);
            steps[3].iter().for_each(|step| step.record(pass));
        })
        .unwrap();
        let read = |which: usize| -> Vec<f32> {
            parts.iter().flat_map(|(_, buffers, _, len)| values(&buffers[which])[..*len].to_vec()).collect()
        };
        let got = Trained {
            y: read(1),
            state: read_state(&norm),
            dx: read(3),
            dweight: values(&dweight),
            dbias: values(&dbias),
        };
        let mut reference = cpu::Layer::with_state(&d, &before);
        let options = cpu::Options::default();
        assert_masked(&format!("{all}"), &got, all, &mut reference, [&x, &dy], &options, &mask.valid);
    }
}

/// Each virtual batch in turn; one of them has one valid value, one none.
#[test]
fn virtual_batches() {
    for (shape, kind) in [
        (Shape::rows(11, 7), MaskKind::Positions),
        (Shape::channels_first(11, 6, &[4, 4]), MaskKind::Lengths),
        (Shape::channels_first(11, 3, &[5]), MaskKind::Positions),
        (Shape::channels_last(11, &[3], 8), MaskKind::Lengths),
    ] {
        let (c, positions) = (shape.features(), shape.positions() as u32);
        let lengths = |i: u32| match i {
            3..6 => u32::from(i == 4),
            6..9 => 0,
            _ => 1 + i % positions,
        };
        let lengths: Vec<u32> = (0..11).map(lengths).collect();
        let of_lengths = Masked::lengths(shape, lengths.clone());
        let mask = if kind == MaskKind::Lengths { of_lengths } else { Masked::positions(of_lengths.valid) };
        let x = mask.poisoned(tensor(shape, 937), shape);
        let (d, before) = (descriptor(c), state(c, 938));
        let (norm, mut reference) = (layer(&d, &before), cpu::Layer::with_state(&d, &before));
        let [input, output, dy, dx] = [(); 4].map(|()| gpu().upload(&x));
        let words = mask.upload();
        let training = Training::new(whole(&input), whole(&output)).virtual_batch(3);
        let training = training.mask(mask.whole(&words)).guard(Guard::SkipNonFinite);
        let step = norm.prepare_training(shape, training).unwrap();
        let back = norm.prepare_backward(&step, Backward::of(whole(&dy)).input_gradient(whole(&dx))).unwrap();
        gpu()
            .run(|pass| {
                step.record(pass);
                back.record(pass);
            })
            .unwrap();
        let (got_y, got_dx, example) = (values(&output), values(&dx), (shape.elements() / 11) as usize);
        for (k, x) in x.chunks(3 * example).enumerate() {
            let size = (x.len() / example) as u32;
            let shape = match (kind, shape.positions()) {
                (_, 1) => Shape::rows(size, c),
                (_, 16) => Shape::channels_first(size, c, &[4, 4]),
                (_, 5) => Shape::channels_first(size, c, &[5]),
                _ => Shape::channels_last(size, &[3], c),
            };
            let valid = &mask.valid[k * 3 * positions as usize..][..(size * positions) as usize];
            let options = cpu::Options::default().valid(valid);
            let forward = cpu::train(x, shape, &mut reference, &options);
            let want = cpu::backward(x, x, shape, &forward.saved, &options).dx;
            let near = |got: &[f32], want: &[f64]| {
                let got = &got[k * 3 * example..][..x.len()];
                for (i, (got, want)) in got.iter().zip(want).enumerate() {
                    assert!((f64::from(*got) - want).abs() <= 2e-5, "{shape} {k} [{i}]: {got} for {want}");
                }
            };
            near(&got_y, &forward.y);
            near(&got_dx, &want);
        }
        testkit::close::assert_state(
            "virtual batches",
            &read_state(&norm),
            &reference,
            testkit::scales::FORWARD,
        );
        assert_eq!(pollster::block_on(norm.read_skipped(&gpu().queue)).unwrap(), vec![0; c as usize]);
    }
}

/// A guard and a flag where all parts are finalized, and a record of moments that is not finite.
#[test]
fn guards_of_finalized_parts() {
    let (shape, before) = (Shape::rows(40, 8), state(8, 939));
    let mut x = tensor(shape, 940);
    (x[8 + 1], x[3]) = (f32::NAN, f32::INFINITY);
    let norm = layer(&descriptor(8), &before);
    let (input, records, flag) =
        (gpu().upload(&x), gpu().empty(norm.moments_bytes() as usize / 4), gpu().empty(1));
    let moments = norm.prepare_moments(shape, Moments::new(whole(&input), whole(&records))).unwrap();
    let finalize = Finalize::new(whole(&records), 1).guard(Guard::SkipNonFinite).commit(whole(&flag));
    let finalize = norm.prepare_finalize(finalize).unwrap();
    let mut reference = cpu::Layer::with_state(&descriptor(8), &before);
    for value in [0u32, 1, 0, 7] {
        gpu().queue.write_buffer(&flag, 0, bytemuck::bytes_of(&value));
        gpu()
            .run(|pass| {
                moments.record(pass);
                finalize.record(pass);
            })
            .unwrap();
        let options = cpu::Options::default().commit(value > 0).skip_non_finite(true);
        cpu::train(&x, shape, &mut reference, &options);
        let got = read_state(&norm);
        testkit::close::assert_state("guarded", &got, &reference, testkit::scales::FORWARD);
        let kept = |state: &State| (state.running_mean[1], state.running_var[3]);
        assert_eq!(kept(&got), kept(&before));
    }
    let skipped = pollster::block_on(norm.read_skipped(&gpu().queue)).unwrap();
    assert_eq!(skipped, [0, 2, 0, 2, 0, 0, 0, 0]);
    let _: &wgpu::Buffer = &records;
    let _ = context();
}
