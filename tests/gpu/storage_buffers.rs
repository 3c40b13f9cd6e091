//! Devices that bind few storage buffers, where a layer's vectors, a guard, a flag and a mask each take one.

use testkit::gpu::{context, download, gpu, values, whole};
use testkit::layer::{descriptor, layer};
use testkit::plans::of_path;
use testkit::random::state;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    BatchNorm, Context, Guard, LayerBuffers, Mask, Path, PlanError, PrepareError, State, Training, wgpu,
};

use super::guard::{poisoned, shapes};

/// A layer all of whose vectors are in buffers of the caller's, on a device that binds so many buffers.
struct Separate {
    gpu: Gpu,
    norm: BatchNorm,
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    word: wgpu::Buffer,
}

impl Separate {
    fn new(buffers: u32, x: &[f32], before: &State) -> Self {
        let gpu = Gpu::with_limits(|_| wgpu::Limits {
            max_storage_buffers_per_shader_stage: buffers,
            ..Default::default()
        })
        .unwrap();
        let [weight, bias, mean, var] =
            [&before.weight, &before.bias, &before.running_mean, &before.running_var].map(|v| gpu.upload(v));
        let batches = gpu.empty(8);
        let vectors =
            LayerBuffers::new().weight(whole(&weight)).bias(whole(&bias)).running_mean(whole(&mean));
        let vectors = vectors.running_var(whole(&var)).num_batches_tracked(whole(&batches));
        let norm = BatchNorm::with_buffers(&Context::new(&gpu.device), &descriptor(8), vectors).unwrap();
        let (x, y, word) = (gpu.upload(x), gpu.empty(x.len()), gpu.upload(&[f32::from_bits(u32::MAX); 64]));
        Self { gpu, norm, x, y, word }
    }

    fn training(&self) -> Training<'_> {
        Training::new(whole(&self.x), whole(&self.y))
    }
}

/// Eight buffers are bound without anything more: with it, the split path binds fewer in each dispatch.
#[test]
fn plans_bind_no_more_buffers_than_the_device_does() {
    let (shape, before) = (shapes()[0], state(8, 911));
    let x = poisoned(shape);
    for limit in [8, 9, 10] {
        let separate = Separate::new(limit, &x, &before);
        let word = || whole(&separate.word);
        let of = |more: u32| -> Training<'_> {
            let training = separate.training();
            let training = if more & 1 > 0 { training.guard(Guard::SkipNonFinite) } else { training };
            let training = if more & 2 > 0 { training.commit(word()) } else { training };
            if more & 4 > 0 { training.mask(Mask::Positions(word())) } else { training }
        };
        for more in 0..8u32 {
            let (cached, finalize) = (8 + more.count_ones(), 7 + (more & 3).count_ones());
            let step = separate.norm.prepare_training(shape, of(more));
            let path = |path| separate.norm.prepare_training(shape, of(more).plan(of_path(path))).map(|_| ());
            let error =
                |required| Err(PrepareError::Plan(PlanError::StorageBuffers { required, given: limit }));
            if finalize > limit {
                assert_eq!(step.map(|_| ()), error(finalize), "{limit}, {more}");
                continue;
            }
            let step = step.unwrap();
            if cached > limit {
                assert_eq!(step.plan().path(), Path::Split, "{limit}, {more}");
                assert_eq!(path(Path::Cached), error(cached), "{limit}, {more}");
            } else {
                assert_ne!(step.plan().path(), Path::Split, "{limit}, {more}");
                path(Path::Cached).unwrap();
            }
            separate.gpu.run(|pass| step.record(pass)).unwrap();
            // An ordinary layer does the same.
            let norm = layer(&descriptor(8), &before);
            let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
            let guard = if more & 1 > 0 { Guard::SkipNonFinite } else { Guard::None };
            let training =
                Training::new(whole(&input), whole(&output)).guard(guard).plan(step.plan().request());
            let want = norm.prepare_training(shape, training).unwrap();
            gpu().run(|pass| want.record(pass)).unwrap();
            let got: Vec<f32> = download(&separate.gpu.device, &separate.gpu.queue, whole(&separate.y));
            let want = values(&output);
            let near = got.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-5 || !b.is_finite());
            assert!(near, "{limit}, {more}");
        }
        let counts = pollster::block_on(separate.norm.read_skipped(&separate.gpu.queue)).unwrap();
        assert!(counts[0] == 0 && counts[1] > 0 && counts[3] == counts[1], "{counts:?}");
        let state = pollster::block_on(separate.norm.read_state(&separate.gpu.queue)).unwrap();
        assert!(state.num_batches_tracked >= 6, "{state:?}");
    }
    assert_eq!(
        context().profile().max_storage_buffers,
        gpu().device.limits().max_storage_buffers_per_shader_stage
    );
}
