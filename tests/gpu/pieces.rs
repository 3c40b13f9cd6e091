//! Tensors beyond one binding: cut along the batch, as the whole tensor.

use testkit::close::{assert_output, assert_trained};
use testkit::gpu::{context, download, gpu, part, whole};
use testkit::hard::Data;
use testkit::layer::{descriptor, layer_in};
use testkit::prepare::Gradients;
use testkit::random::{state, tensor};
use testkit::train::{evaluate, train};
use wgpu_batchnorm::{
    Context, ContextOptions, DeviceProfile, Evaluation, Path, PlanError, PlanRequest, PrepareError, Shape,
    Statistics, Tensor, Training, cpu,
};

/// A context of the shared device that binds no more than this.
pub fn binding_at_most(bytes: u64, alignment: u32) -> Context {
    let mut profile = DeviceProfile::of(&gpu().device);
    profile.max_binding = bytes;
    profile.alignment = profile.alignment.max(alignment);
    Context::with_options(&gpu().device, ContextOptions::default().profile(profile))
}

/// Two hundred kilobytes and more each; examples of 28, 300 and 672 bytes among them, so that few pieces end aligned.
fn shapes() -> [Shape; 6] {
    [
        Shape::rows(9000, 7),
        Shape::rows(2000, 32),
        Shape::channels_first(1111, 5, &[15]),
        Shape::channels_first(77, 3, &[16, 16]),
        Shape::channels_last(3, &[41, 50], 9),
        Shape::channels_last(1, &[4096], 16),
    ]
}

fn request() -> PlanRequest {
    PlanRequest::new()
}

fn plans() -> [PlanRequest; 2] {
    [request().splits(2), request().splits(3).packet(1).workgroup(8)]
}

#[test]
fn tensors_beyond_one_binding_are_whole() {
    for alignment in [0, 256] {
        let small = binding_at_most(50_000, alignment);
        for shape in shapes() {
            let c = shape.features();
            let (x, dy, before) = (tensor(shape, 901), tensor(shape, 902), state(c, 903));
            let reference = cpu::Layer::with_state(&descriptor(c), &before);
            for plan in plans() {
                let norm = layer_in(&small, &descriptor(c), &before);
                let what = format!("{shape}, [{plan}], alignment {alignment}");
                let got = train(&norm, shape, &x, &dy, plan);
                assert_trained(&what, &got, shape, &reference, &x, &dy);
                let again = train(&layer_in(&small, &descriptor(c), &before), shape, &x, &dy, plan);
                assert!(got == again, "{what}: the same bits");
                let norm = layer_in(&small, &descriptor(c), &before);
                let y = evaluate(&norm, shape, &x, plan);
                let want = cpu::evaluate(&x, shape, &reference, &cpu::Options::default());
                assert_output(&what, &y, shape, &x, &want, testkit::scales::FORWARD);
            }
        }
    }
}

#[test]
fn pieces_with_a_large_mean_are_whole() {
    let small = binding_at_most(50_000, 256);
    for shape in shapes() {
        let c = shape.features();
        let (x, dy, before) = (Data::LargeMean.tensor(shape, 911), tensor(shape, 912), state(c, 913));
        let reference = cpu::Layer::with_state(&descriptor(c), &before);
        let got = train(&layer_in(&small, &descriptor(c), &before), shape, &x, &dy, request().splits(2));
        assert_trained(&format!("{shape}"), &got, shape, &reference, &x, &dy);
    }
}

#[test]
fn a_plan_says_how_many_pieces_there_are() {
    let shape = Shape::rows(9000, 7);
    let profile = *binding_at_most(50_000, 256).profile();
    let plan = |request| wgpu_batchnorm::Plan::new(&profile, wgpu_batchnorm::Op::Evaluation, shape, request);
    let chosen = plan(request()).unwrap();
    assert_eq!((chosen.pieces(), chosen.dispatches()), (6, 6));
    assert!(chosen.to_string().contains("in 6 pieces"), "{chosen}");
    let training = wgpu_batchnorm::Op::Training { update_running: true };
    let chosen = wgpu_batchnorm::Plan::new(&profile, training, shape, request().splits(2)).unwrap();
    assert_eq!((chosen.path(), chosen.dispatches()), (Path::Split, 13));
    let text = chosen.request().to_string();
    let again = wgpu_batchnorm::Plan::new(&profile, training, shape, text.parse().unwrap()).unwrap();
    assert_eq!(again, chosen, "{text}");
    let cached = wgpu_batchnorm::Plan::new(&profile, training, shape, request().path(Path::Cached));
    assert!(matches!(cached, Err(PlanError::Request { .. })), "{cached:?}");
}

/// In place, in pieces, in one buffer with everything else; and frozen.
#[test]
fn pieces_in_place() {
    let small = binding_at_most(16_384, 256);
    for shape in [Shape::rows(2000, 7), Shape::channels_first(300, 3, &[5])] {
        let c = shape.features();
        let (x, dy, before) = (tensor(shape, 931), tensor(shape, 932), state(c, 933));
        for statistics in [Statistics::Batch, Statistics::Running] {
            let stride = x.len().next_multiple_of(64) as u64 * 4;
            let run = |context: &Context, in_place: bool| {
                let norm = layer_in(context, &descriptor(c), &before);
                let arena = gpu().empty(5 * stride as usize / 4);
                for (k, values) in [(0, &x), (1, &x), (3, &dy)] {
                    gpu().queue.write_buffer(&arena, k * stride, bytemuck::cast_slice(values));
                }
                let at = |k: u64| part(&arena, k * stride, shape.bytes());
                let (y, dx) = if in_place { (1, 3) } else { (2, 4) };
                let training = Training::new(at(1), at(y))
                    .statistics(statistics)
                    .update_running(true)
                    .plan(request().splits(2));
                let training = training.plan(request().path(Path::Split).splits(2));
                let step = norm.prepare_training(shape, training).unwrap();
                let gradients = Gradients { dx: Some(at(dx)), ..Gradients::default() };
                let backward = gradients.of(at(3)).input(at(0));
                let back = norm.prepare_backward(&step, backward).unwrap();
                gpu()
                    .run(|pass| {
                        step.record(pass);
                        back.record(pass);
                    })
                    .unwrap();
                let read = |k| download::<f32>(&gpu().device, &gpu().queue, at(k));
                (read(y), read(dx))
            };
            let want = run(&small, false);
            assert!(run(&small, true) == want, "{shape}, {statistics:?}: in place");
            let (y, dx) = run(context(), false);
            for (got, want) in [(&want.0, &y), (&want.1, &dx)] {
                let largest = want.iter().fold(0.0f32, |max, v| max.max(v.abs()));
                assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-6 * largest), "{shape}");
            }
        }
    }
}

#[test]
fn pieces_are_rebound() {
    let small = binding_at_most(4096, 256);
    let shape = Shape::rows(256, 7);
    let (x, before) = (tensor(shape, 951), state(7, 952));
    let norm = layer_in(&small, &descriptor(7), &before);
    let want = evaluate(&norm, shape, &x, request());
    let (whole_x, y) = (gpu().upload(&x), gpu().empty(x.len()));
    let halves = [0, 1].map(|k| gpu().upload(&x[k * 896..][..896]));
    let [a, b] = &halves;
    let mut step = norm.prepare_evaluation(shape, Evaluation::new([whole(a), whole(b)], whole(&y))).unwrap();
    step.rebind(&norm, Training::new(whole(&whole_x), whole(&y))).unwrap();
    gpu().run(|pass| step.record(pass)).unwrap();
    assert_eq!(testkit::gpu::values(&y), want);
    // Pieces of a step for one range do not end where these do.
    let [third, rest] = &[gpu().upload(&x[..448]), gpu().upload(&x[448..])];
    let error = step.rebind(&norm, Training::new([whole(third), whole(rest)], whole(&y))).unwrap_err();
    assert_eq!(error, PrepareError::OtherRanges { tensor: Tensor::Input });
}
