//! Masks from step to step: lengths that change, steps that share scratch, batches of one example and of none, plans.

use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer, layer_in, read_state};
use testkit::masks::{Masked, assert_masked, assert_masked_output};
use testkit::plans::paths;
use testkit::prepare::Gradients;
use testkit::random::{state, tensor};
use testkit::train::Trained;
use wgpu_batchnorm::{BatchNormDescriptor, Context, Mask, MaskKind, Path, PlanRequest, Shape, Training, cpu};

/// Lengths that change from one submission to the next; the cumulative average counts a batch of padding too.
#[test]
fn lengths_change_from_step_to_step() {
    let shape = Shape::channels_first(6, 5, &[12]);
    let d = BatchNormDescriptor { momentum: None, ..descriptor(5) };
    let before = state(5, 817);
    for plan in paths() {
        let (norm, mut reference) = (layer(&d, &before), cpu::Layer::with_state(&d, &before));
        let [x, dy] = [818, 819].map(|seed| tensor(shape, seed));
        let [input, output, output_gradient, input_gradient] =
            [&x, &x, &dy, &dy].map(|tensor| gpu().upload(tensor));
        let [dweight, dbias] = [(); 2].map(|()| gpu().empty(5));
        let words = gpu().empty(6);
        let first = Masked::lengths(shape, vec![0; 6]);
        let training = Training::new(whole(&input), whole(&output)).mask(first.whole(&words)).plan(plan);
        let step = norm.prepare_training(shape, training).unwrap();
        let gradients = Gradients {
            dx: Some(whole(&input_gradient)),
            dweight: Some(whole(&dweight)),
            dbias: Some(whole(&dbias)),
            accumulate: false,
        };
        let back = norm.prepare_backward(&step, gradients.of(whole(&output_gradient)).plan(plan)).unwrap();
        let lengths = [
            vec![3, 0, 12, 7, 1, 99],
            vec![0; 6],
            vec![12; 6],
            vec![0, 0, 0, 0, 0, 1],
            vec![u32::MAX, 0, 1, 2, 3, 4],
        ];
        for (k, lengths) in lengths.into_iter().enumerate() {
            let mask = Masked::lengths(shape, lengths);
            gpu().queue.write_buffer(&words, 0, bytemuck::cast_slice(&mask.words));
            gpu()
                .run(|pass| {
                    step.record(pass);
                    back.record(pass);
                })
                .unwrap();
            let got = Trained {
                y: values(&output),
                state: read_state(&norm),
                dx: values(&input_gradient),
                dweight: values(&dweight),
                dbias: values(&dbias),
            };
            let options = cpu::Options::default();
            let what = format!("step {k}, [{plan}]");
            assert_masked(&what, &got, shape, &mut reference, [&x, &dy], &options, &mask.valid);
        }
    }
}

/// Two steps of different shapes in one pass share the place where masks of lengths are made.
#[test]
fn steps_share_the_mask_that_is_made() {
    let shapes = [Shape::channels_first(3, 8, &[40]), Shape::channels_last(20, &[9], 8)];
    let (d, before) = (descriptor(8), state(8, 820));
    let masks = [0, 1].map(|k| Masked::random_lengths(shapes[k], 70 + k as u64));
    let tensors = [0, 1].map(|k| masks[k].poisoned(tensor(shapes[k], 821), shapes[k]));
    let norm = layer(&d, &before);
    let buffers = [0, 1].map(|k| [(); 4].map(|()| gpu().upload(&tensors[k])));
    let words = [0, 1].map(|k| masks[k].upload());
    let steps: Vec<_> = [0, 1]
        .into_iter()
        .map(|k| {
            let [x, y, dy, dx] = buffers[k].each_ref().map(whole);
            let training = Training::new(x, y).mask(masks[k].whole(&words[k]));
            let step = norm.prepare_training(shapes[k], training).unwrap();
            let back = Gradients { dx: Some(dx), ..Default::default() };
            let back = norm.prepare_backward(&step, back.of(dy)).unwrap();
            (step, back)
        })
        .collect();
    gpu()
        .run(|pass| {
            steps.iter().for_each(|(step, _)| step.record(pass));
            steps.iter().rev().for_each(|(_, back)| back.record(pass));
        })
        .unwrap();
    let mut reference = cpu::Layer::with_state(&d, &before);
    for k in [0, 1] {
        let x = &tensors[k];
        let options = cpu::Options::default().valid(&masks[k].valid);
        let forward = cpu::train(x, shapes[k], &mut reference, &options);
        assert_masked_output("y", &values(&buffers[k][1]), shapes[k], x, &masks[k].valid, &forward);
        let want = cpu::backward(x, x, shapes[k], &forward.saved, &options).dx;
        for (got, want) in values(&buffers[k][3]).iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 1e-5, "{got} for {want}");
        }
    }
}

/// One value per feature is an error but under a mask; an empty batch under a mask is only counted.
#[test]
fn one_example_and_no_example() {
    let (d, before) = (descriptor(4), state(4, 822));
    for (batch, valid) in [(1, vec![true]), (1, vec![false]), (0, vec![])] {
        let shape = Shape::rows(batch, 4);
        let norm = layer(&d, &before);
        let (x, y, words) = (gpu().upload(&[1.0, -2.0, 3.0, 4.0]), gpu().empty(4), gpu().empty(1));
        let mask = Masked::positions(valid.clone());
        gpu().queue.write_buffer(&words, 0, bytemuck::cast_slice(&mask.words));
        for kind in [MaskKind::Positions, MaskKind::Lengths] {
            // The same word is a mask of one bit and a length of 0 or more.
            let mask = if batch == 1 && !valid[0] { Masked::lengths(shape, vec![0]) } else { mask.clone() };
            gpu().queue.write_buffer(&words, 0, bytemuck::cast_slice(&mask.words));
            let mask = Masked { kind, ..mask };
            let training = Training::new(whole(&x), whole(&y)).mask(mask.whole(&words));
            let step = norm.prepare_training(shape, training).unwrap();
            gpu().run(|pass| step.record(pass)).unwrap();
        }
        let after = read_state(&norm);
        assert_eq!(after.num_batches_tracked, 2);
        let moved = after.running_mean != before.running_mean;
        assert_eq!(moved, valid == [true], "{valid:?}");
        if valid == [true] {
            assert_eq!(values(&y), before.bias);
        }
    }
}

/// A mask of positions needs no dispatch, one of lengths one; without values none.
#[test]
fn plans_say_what_a_mask_costs() {
    let shape = Shape::channels_first(4, 4, &[30]);
    let (norm, x) = (layer(&descriptor(4), &state(4, 823)), gpu().empty(480));
    let (y, words) = (gpu().empty(480), gpu().empty(4));
    let plan = |mask: Option<Masked>| {
        let mut training = Training::new(whole(&x), whole(&y)).plan(PlanRequest::new().path(Path::Split));
        if let Some(mask) = &mask {
            training = training.mask(mask.whole(&words));
        }
        norm.prepare_training(shape, training).unwrap().plan().clone()
    };
    let plain = plan(None);
    let positions = plan(Some(Masked::positions(vec![true; 120])));
    let lengths = plan(Some(Masked::lengths(shape, vec![1; 4])));
    assert_eq!([&plain, &positions, &lengths].map(|plan| plan.dispatches()), [3, 3, 4]);
    assert_eq!(positions.scratch_bytes(), plain.scratch_bytes());
    assert_eq!(lengths.scratch_bytes(), plain.scratch_bytes() + 16);
    assert!(lengths.to_string().contains("masked by lengths"), "{lengths}");
    assert_eq!(lengths.request(), plain.request());
    // Warming up builds the pipelines that the step then finds.
    let context = Context::new(&gpu().device);
    pollster::block_on(context.warm_up(&[lengths])).unwrap();
    let built = context.pipelines();
    let norm = layer_in(&context, &descriptor(4), &state(4, 823));
    let training = Training::new(whole(&x), whole(&y)).plan(PlanRequest::new().path(Path::Split));
    norm.prepare_training(shape, training.mask(Mask::Lengths(whole(&words)))).unwrap();
    assert_eq!((built, context.pipelines()), (4, 4));
}
