//! 16-bit storage against the CPU reference: a result is the truth rounded once, up to the bounds of float32.

use testkit::close::{assert_close, assert_state, assert_stored};
use testkit::gpu::{gpu, whole};
use testkit::layer::{descriptor, layer_in, read_state};
use testkit::layout::feature_of;
use testkit::plans::without_path;
use testkit::profiles::{by_half_access, contexts};
use testkit::random::{state, tensor};
use testkit::scales::{BACKWARD, FORWARD, Pass};
use testkit::storage::rounded;
use testkit::stored::{upload, values};
use testkit::train::{Trained, evaluate_stored, train_stored};
use wgpu_batchnorm::{
    Backward, Context, ContextOptions, Path, PlanRequest, Shape, StorageType, Training, View, cpu,
};

const HALVES: [StorageType; 2] = [StorageType::Float16, StorageType::BFloat16];

#[track_caller]
fn check(context: &Context, storage: StorageType, shape: Shape, plan: PlanRequest) {
    let what = format!("{shape} of {storage}, [{plan}]");
    let descriptor = descriptor(shape.features());
    let before = state(shape.features(), 7);
    let [x, dy] = [11, 13].map(|seed| rounded(&tensor(shape, seed), storage));
    let mut layer = cpu::Layer::with_state(&descriptor, &before);
    let of = |i: usize| feature_of(shape, i);

    let norm = layer_in(context, &descriptor, &before);
    let options = cpu::Options::default();
    let cpu::Forward { y: want, saved, .. } = cpu::evaluate(&x, shape, &layer, &options);
    let y = evaluate_stored(&norm, storage, shape, &x, without_path(plan));
    let scale = Pass::of(&x, shape, &saved).output(&want, |i| i);
    assert_stored(&format!("{what}: evaluation"), storage, &y, &want, |i| scale[of(i)], FORWARD);

    let got = train_stored(&norm, storage, shape, &x, &dy, plan);
    let Trained { y, state, dx, dweight, dbias } = &got;
    let cpu::Forward { y: want, saved, .. } = cpu::train(&x, shape, &mut layer, &options);
    let pass = Pass::of(&x, shape, &saved);
    let scale = pass.output(&want, |i| i);
    assert_stored(&format!("{what}: y"), storage, y, &want, |i| scale[of(i)], FORWARD);
    assert_state(&what, state, &layer, FORWARD);
    let cpu::Gradients { dx: want, sums, .. } = cpu::backward(&x, &dy, shape, &saved, &options);
    let scales = pass.gradients(&dy.iter().copied().map(f64::from).collect::<Vec<_>>());
    assert_stored(&format!("{what}: dx"), storage, dx, &want, |i| scales.dx[of(i)], BACKWARD);
    let (want_dbias, want_dweight): (Vec<f64>, Vec<f64>) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
    assert_close(&format!("{what}: dweight"), dweight, &want_dweight, |c| scales.dweight[c], BACKWARD);
    assert_close(&format!("{what}: dbias"), dbias, &want_dbias, |c| scales.dbias[c], BACKWARD);
}

/// Every path in a view and packet, on shapes whose number of values is odd where packets are single.
fn plans(view: View, packet: u32) -> Vec<(Shape, PlanRequest)> {
    let shape = match view {
        View::Rows => Shape::rows(61, 5 * packet),
        _ => Shape::channels_first(9, 5, &[7 * packet]),
    };
    let paths = ["cached tile=2", "split splits=3 tile=8", "persistent tile=2 held=4"];
    let with = |path: &str| {
        let workgroup = if path.starts_with("persistent") { 32 } else { 8 };
        let text = format!("{path} {view} packet={packet} workgroup={workgroup}");
        (shape, text.parse().unwrap())
    };
    paths.map(with).to_vec()
}

/// Both types where packets are single, else one of them in turn: which bits a value has makes no other difference to a kernel
/// than in its loads and stores, all of which tests/gpu/storage_coverage.rs runs.
#[test]
#[ignore = "exhaustive: make exhaustive"]
fn every_path_view_and_packet() {
    let frames = [View::Planes, View::Rows].into_iter().flat_map(|view| [1, 4, 8, 16].map(|p| (view, p)));
    for (k, (view, packet)) in frames.enumerate() {
        for (i, (shape, plan)) in plans(view, packet).into_iter().enumerate() {
            if packet > 1 {
                check(&by_half_access()[0].1, HALVES[(k + i) % 2], shape, plan);
                continue;
            }
            for (_, context) in by_half_access() {
                for storage in HALVES {
                    check(context, storage, shape, plan);
                }
            }
        }
    }
}

/// Pieces and virtual batches that begin and end in the middle of a word.
#[test]
fn pieces_share_words() {
    for (_, context) in by_half_access() {
        let mut profile = *context.profile();
        profile.max_binding = 6400;
        let options = ContextOptions::default().profile(profile);
        let small = Context::with_options(context.device(), options);
        for storage in HALVES {
            for shape in [
                Shape::rows(2001, 7),
                Shape::channels_first(151, 5, &[15]),
                Shape::channels_first(201, 3, &[8]),
                Shape::channels_last(1, &[997], 9),
            ] {
                check(&small, storage, shape, PlanRequest::new().path(Path::Split).splits(1));
            }
        }
    }
}

#[test]
fn virtual_batches_share_words() {
    for (_, context) in by_half_access() {
        for storage in HALVES {
            for (shape, path) in [
                (Shape::rows(11, 7), "cached"),
                (Shape::rows(11, 7), "split splits=1"),
                (Shape::channels_first(11, 5, &[3]), "cached"),
                (Shape::channels_first(11, 3, &[4]), "split splits=1"),
            ] {
                let plan: PlanRequest = format!("{path} workgroup=4 tile=1").parse().unwrap();
                in_turn(context, storage, shape, plan);
            }
        }
    }
}

/// Virtual batches of three examples give the bits of calls in turn.
#[track_caller]
fn in_turn(context: &Context, storage: StorageType, shape: Shape, plan: PlanRequest) {
    let (c, before) = (shape.features(), state(shape.features(), 21));
    let [x, dy] = [23, 25].map(|seed| rounded(&tensor(shape, seed), storage));
    let norm = layer_in(context, &descriptor(c), &before);
    let example = x.len() / shape.batch() as usize;
    let of_batch = |(x, dy): (&[f32], &[f32])| {
        let examples = (x.len() / example) as u32;
        let shape = match shape.positions() {
            1 => Shape::rows(examples, c),
            positions => Shape::channels_first(examples, c, &[positions as u32]),
        };
        train_stored(&norm, storage, shape, x, dy, plan)
    };
    let batches: Vec<_> = x.chunks(3 * example).zip(dy.chunks(3 * example)).map(of_batch).collect();
    let want = |of: fn(&Trained) -> &Vec<f32>| batches.iter().flat_map(of).copied().collect::<Vec<_>>();

    let norm = layer_in(context, &descriptor(c), &before);
    let [input, output, dy, dx] = [&x, &x, &dy, &dy].map(|values| upload(storage, values));
    let training = Training::new(whole(&input), whole(&output)).storage(storage).plan(plan).virtual_batch(3);
    let step = norm.prepare_training(shape, training).unwrap();
    let back = Backward::of(whole(&dy)).input_gradient(whole(&dx)).plan(plan);
    let back = norm.prepare_backward(&step, back).unwrap();
    gpu()
        .run(|pass| {
            step.record(pass);
            back.record(pass);
        })
        .unwrap();
    let read = |buffer| values(storage, buffer, x.len());
    assert!(read(&output) == want(|t| &t.y), "{shape} of {storage}, [{plan}]: y");
    assert!(read(&dx) == want(|t| &t.dx), "{shape} of {storage}, [{plan}]: dx");
    assert_eq!(read_state(&norm), batches.last().unwrap().state, "{shape} of {storage}, [{plan}]");
}

#[test]
#[ignore = "exhaustive: make exhaustive"]
fn plans_by_default() {
    for (_, context) in contexts() {
        for storage in HALVES {
            for shape in [
                Shape::rows(2, 3),
                Shape::rows(300, 64),
                Shape::rows(5001, 3),
                Shape::rows(40, 1024),
                Shape::channels_first(2, 30, &[7, 7]),
                Shape::channels_first(16, 13, &[14, 14]),
                Shape::channels_first(1, 3, &[300, 300]),
                Shape::channels_first(3, 2, &[101, 51]),
                Shape::channels_last(3, &[5, 7], 24),
            ] {
                check(context, storage, shape, PlanRequest::default());
            }
        }
    }
}

/// x[0] or dy[0] is none: results of its feature are none, and all others have the bits that they have without it.
#[test]
fn what_is_not_finite_stays_in_its_feature() {
    for (storage, view, packet) in [
        (StorageType::Float16, View::Planes, 1),
        (StorageType::Float16, View::Rows, 4),
        (StorageType::BFloat16, View::Rows, 1),
        (StorageType::BFloat16, View::Planes, 8),
    ] {
        for (shape, plan) in plans(view, packet) {
            let features = shape.features();
            let [x, dy] = [21, 23].map(|seed| rounded(&tensor(shape, seed), storage));
            let run = |x: &[f32], dy: &[f32]| {
                let norm = layer_in(&by_half_access()[0].1, &descriptor(features), &state(features, 25));
                train_stored(&norm, storage, shape, x, dy, plan)
            };
            let clean = run(&x, &dy);
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let (mut spoiled_x, mut spoiled_dy) = (x.clone(), dy.clone());
                (spoiled_x[0], spoiled_dy[0]) = (value, value);
                let [of_x, of_dy] = [run(&spoiled_x, &dy), run(&x, &spoiled_dy)];
                for (what, got, spoils_y) in [("x", of_x, true), ("dy", of_dy, false)] {
                    let what = format!("{shape} of {storage}, [{plan}], {value} in {what}");
                    let tensors = [(&got.y, &clean.y, spoils_y), (&got.dx, &clean.dx, true)];
                    for (tensor, (got, clean, spoils)) in ["y", "dx"].iter().zip(tensors) {
                        for (i, (got, clean)) in got.iter().zip(clean).enumerate() {
                            match spoils && feature_of(shape, i) == 0 {
                                true => assert!(!got.is_finite(), "{what}: {tensor}[{i}] is {got}"),
                                false => assert_eq!(got.to_bits(), clean.to_bits(), "{what}: {tensor}[{i}]"),
                            }
                        }
                    }
                    let vectors = [(&got.dweight, &clean.dweight), (&got.dbias, &clean.dbias)];
                    for (got, clean) in vectors {
                        let bits = |v: &[f32]| v[1..].iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        assert_eq!(bits(got), bits(clean), "{what}");
                    }
                    assert!(!got.dweight[0].is_finite(), "{what}");
                }
            }
        }
    }
}
