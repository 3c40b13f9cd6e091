//! What backward promises beside parity: the frozen formulas, gradients left out or accumulated, sums that vanish.

use wgpu_batchnorm::{
    Backward, BatchNormDescriptor, Evaluation, PlanRequest, Shape, Statistics, Training, cpu, wgpu,
};

use crate::support::{
    BACKWARD, assert_close, descriptor, feature_of, gpu, layer, max_abs, plans, state, tensor, train,
};

fn whole(buffer: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
    buffer.as_entire_buffer_binding()
}

fn shapes() -> [Shape; 3] {
    [Shape::rows(50, 8), Shape::channels_first(6, 5, &[4, 4]), Shape::channels_first(6, 5, &[3, 3])]
}

/// PyTorch's evaluation gradients: running statistics are constants.
#[test]
fn running_statistics_are_constants() {
    for shape in shapes() {
        let c = shape.features() as usize;
        let (x, dy, before) = (tensor(shape, 111), tensor(shape, 112), state(shape.features(), 113));
        let d = descriptor(shape.features());
        let (_, record) = cpu::evaluate(&x, shape, &cpu::Layer::with_state(&d, &before));
        let (want, sums) = cpu::backward_resident(&x, &dy, shape, &record, Statistics::Running);
        for plan in plans(shape) {
            let norm = layer(&d, &before);
            let (xb, y, dyb) = (gpu().upload(&x), gpu().empty(x.len()), gpu().upload(&dy));
            let (dx, dweight, dbias) = (gpu().empty(x.len()), gpu().empty(c), gpu().empty(c));
            let backward = Backward {
                input_gradient: Some(whole(&dx)),
                weight_gradient: Some(whole(&dweight)),
                bias_gradient: Some(whole(&dbias)),
                plan,
                ..Backward::new(whole(&xb), whole(&dyb))
            };
            // Through evaluation, and through a frozen layer in training.
            let evaluation = norm.prepare_evaluation(shape, Evaluation::new(whole(&xb), whole(&y))).unwrap();
            let frozen = norm
                .prepare_training(
                    shape,
                    Training {
                        statistics: Statistics::Running,
                        update_running: false,
                        ..Training::new(whole(&xb), whole(&y))
                    },
                )
                .unwrap();
            for frozen_step in [false, true] {
                let back = match frozen_step {
                    false => norm.prepare_backward(shape, &evaluation, backward.clone()),
                    true => norm.prepare_backward(shape, &frozen, backward.clone()),
                }
                .unwrap();
                gpu()
                    .run(|pass| {
                        if frozen_step {
                            frozen.record(pass)
                        } else {
                            evaluation.record(pass)
                        }
                        back.record(pass);
                    })
                    .unwrap();
                let what = format!("{shape}, {plan:?}");
                let scale = max_abs(&want);
                assert_close(&what, &gpu().download(&dx).unwrap(), &want, |_| scale, BACKWARD);

                // dx alone needs no x.
                let dx_alone = gpu().empty(x.len());
                let alone = Backward {
                    input_gradient: Some(whole(&dx_alone)),
                    plan: PlanRequest { path: None, ..plan },
                    ..Backward::new(whole(&xb), whole(&dyb))
                };
                let alone = norm.prepare_backward(shape, &evaluation, alone).unwrap();
                assert_eq!(alone.plan().bytes_moved(), 2 * shape.bytes());
                gpu().run(|pass| alone.record(pass)).unwrap();
                let want_alone = cpu::backward_frozen(&dy, shape, &record);
                assert_close(&what, &gpu().download(&dx_alone).unwrap(), &want_alone, |_| scale, BACKWARD);

                let magnitude = |c: usize, f: &dyn Fn(usize) -> f64| -> f64 {
                    (0..x.len()).filter(|&i| feature_of(shape, i) == c).map(f).sum()
                };
                let (dbias_want, dweight_want): (Vec<_>, Vec<_>) =
                    sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
                let of_bias = |i: usize| f64::from(dy[i]).abs();
                let of_weight = |i: usize| {
                    let r = record[feature_of(shape, i)];
                    (f64::from(dy[i]) * (f64::from(x[i]) - r.mean) * r.invstd).abs()
                };
                let got = gpu().download(&dbias).unwrap();
                assert_close(&what, &got, &dbias_want, |c| magnitude(c, &of_bias), BACKWARD);
                let got = gpu().download(&dweight).unwrap();
                assert_close(&what, &got, &dweight_want, |c| magnitude(c, &of_weight), BACKWARD);
            }
        }
    }
}

#[test]
fn gradients_can_be_left_out_and_accumulated() {
    for shape in shapes() {
        let c = shape.features() as usize;
        let (x, dy, before) = (tensor(shape, 114), tensor(shape, 115), state(shape.features(), 116));
        let norm = layer(&descriptor(shape.features()), &before);
        for plan in plans(shape) {
            let want = train(&norm, shape, &x, &dy, plan);
            let (xb, y, dyb) = (gpu().upload(&x), gpu().empty(x.len()), gpu().upload(&dy));
            let step = norm
                .prepare_training(shape, Training { plan, ..Training::new(whole(&xb), whole(&y)) })
                .unwrap();
            for (want_dx, want_dweight, want_dbias) in [
                (true, false, false),
                (false, true, true),
                (false, false, true),
                (false, false, false),
                (true, true, false),
            ] {
                let (dx, dweight, dbias) =
                    (gpu().empty(x.len()), gpu().upload(&vec![1.5; c]), gpu().upload(&vec![-2.5; c]));
                let backward = Backward {
                    input_gradient: want_dx.then(|| whole(&dx)),
                    weight_gradient: want_dweight.then(|| whole(&dweight)),
                    bias_gradient: want_dbias.then(|| whole(&dbias)),
                    accumulate: true,
                    plan: PlanRequest { path: plan.path.filter(|_| want_dx), ..plan },
                    ..Backward::new(whole(&xb), whole(&dyb))
                };
                let back = norm.prepare_backward(shape, &step, backward).unwrap();
                gpu()
                    .run(|pass| {
                        step.record(pass);
                        back.record(pass);
                    })
                    .unwrap();
                let what = format!("{shape}, {plan:?}, {want_dx} {want_dweight} {want_dbias}");
                let dx_want = if want_dx { want.dx.clone() } else { vec![0.0; x.len()] };
                assert!(gpu().download(&dx).unwrap() == dx_want, "{what}");
                let added = |start: f32, wanted: bool, gradient: &[f32]| -> Vec<f64> {
                    gradient
                        .iter()
                        .map(|g| f64::from(start) + if wanted { f64::from(*g) } else { 0.0 })
                        .collect()
                };
                let tolerance = |values: &[f64]| max_abs(values);
                let dweight_want = added(1.5, want_dweight, &want.dweight);
                let got = gpu().download(&dweight).unwrap();
                assert_close(&what, &got, &dweight_want, |_| tolerance(&dweight_want), BACKWARD);
                let dbias_want = added(-2.5, want_dbias, &want.dbias);
                let got = gpu().download(&dbias).unwrap();
                assert_close(&what, &got, &dbias_want, |_| tolerance(&dbias_want), BACKWARD);
            }
        }
    }
}

/// Batch statistics make y blind to shift and scale of x, so dx has no part along 1 and along x̂.
#[test]
fn the_sums_of_dx_and_of_dx_xhat_vanish() {
    for shape in shapes() {
        let (x, dy, before) = (tensor(shape, 117), tensor(shape, 118), state(shape.features(), 119));
        let d = BatchNormDescriptor { eps: 1e-12, ..descriptor(shape.features()) };
        let (_, record) =
            cpu::resident(&x, shape, &mut cpu::Layer::with_state(&d, &before), Statistics::Batch, false);
        for plan in plans(shape) {
            let got = train(&layer(&d, &before), shape, &x, &dy, plan);
            let mut sums = vec![(0.0f64, 0.0f64, 0.0f64); record.len()];
            for (i, dx) in got.dx.iter().enumerate() {
                let r = record[feature_of(shape, i)];
                let xhat = (f64::from(x[i]) - r.mean) * r.invstd;
                let s = &mut sums[feature_of(shape, i)];
                *s = (s.0 + f64::from(*dx), s.1 + f64::from(*dx) * xhat, s.2 + f64::from(*dx).abs());
            }
            for (along_1, along_xhat, magnitude) in sums {
                assert!(along_1.abs() <= 1e-6 * magnitude, "{shape}, {plan:?}: {along_1} of {magnitude}");
                assert!(
                    along_xhat.abs() <= 1e-6 * magnitude,
                    "{shape}, {plan:?}: {along_xhat} of {magnitude}"
                );
            }
        }
    }
}

#[test]
fn an_empty_batch_has_zero_gradients() {
    let norm = layer(&descriptor(6), &state(6, 120));
    let (empty, dweight, dbias) = (gpu().empty(4), gpu().upload(&[9.0; 6]), gpu().upload(&[9.0; 6]));
    let shape = Shape::rows(0, 6);
    let step = norm.prepare_training(shape, Training::new(whole(&empty), whole(&empty))).unwrap();
    let backward = Backward {
        input_gradient: Some(whole(&empty)),
        weight_gradient: Some(whole(&dweight)),
        bias_gradient: Some(whole(&dbias)),
        ..Backward::new(whole(&empty), whole(&empty))
    };
    let back = norm.prepare_backward(shape, &step, backward).unwrap();
    gpu()
        .run(|pass| {
            step.record(pass);
            back.record(pass);
        })
        .unwrap();
    assert_eq!(gpu().download(&dweight).unwrap(), [0.0; 6]);
    assert_eq!(gpu().download(&dbias).unwrap(), [0.0; 6]);
}
