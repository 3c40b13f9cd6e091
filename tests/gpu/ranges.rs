//! Tensors in several ranges, each of some examples: as the whole tensor.

use testkit::close::assert_trained;
use testkit::gpu::{download, gpu, part, whole};
use testkit::layer::{descriptor, layer_in};
use testkit::random::{state, tensor};
use testkit::train::Trained;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{self, Buffer, BufferBinding};
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, BindingError, Context, Evaluation, PlanError, PlanRequest,
    PrepareError, Shape, Tensor, TensorBinding, Training, cpu,
};

use super::pieces::binding_at_most;

/// A device that binds little, whose validation sees every binding.
struct Small {
    gpu: Gpu,
    context: Context,
}

impl Small {
    fn new(limits: wgpu::Limits) -> Self {
        let gpu = Gpu::with_limits(|_| limits).unwrap();
        let context = Context::new(&gpu.device);
        Self { gpu, context }
    }

    fn layer(&self, c: u32) -> BatchNorm {
        let norm = BatchNorm::new(&self.context, &descriptor(c)).unwrap();
        norm.set_state(&self.gpu.queue, &state(c, 923)).unwrap();
        norm
    }

    /// Buffers that hold so many examples each, of values or of zeros.
    fn ranges(&self, examples: &[u32], example: usize, values: Option<&[f32]>) -> Vec<Buffer> {
        let mut next = 0;
        let range = |&count: &u32| {
            let len = count as usize * example;
            next += len;
            values.map_or_else(|| self.gpu.empty(len), |values| self.gpu.upload(&values[next - len..next]))
        };
        examples.iter().map(range).collect()
    }

    fn read(&self, buffers: &[Buffer]) -> Vec<f32> {
        let read = |buffer| download::<f32>(&self.gpu.device, &self.gpu.queue, whole(buffer));
        buffers.iter().flat_map(read).collect()
    }
}

fn bindings(buffers: &[Buffer]) -> Vec<BufferBinding<'_>> {
    buffers.iter().map(whole).collect()
}

/// Every tensor is in ranges of its own, on a device that binds 64 KiB at most.
#[test]
fn tensors_in_several_ranges_are_whole() {
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 65_536, ..wgpu::Limits::default() };
    let small = Small::new(limits);
    // Examples of 28 bytes end aligned by 64; of 300 bytes too; of 672 bytes by 8.
    for (shape, cuts) in [
        (Shape::rows(3000, 7), [&[3000][..], &[64, 2936], &[1280, 1280, 440], &[2560, 440]]),
        (Shape::channels_first(640, 5, &[15]), [&[640], &[192, 448], &[64, 64, 512], &[320, 320]]),
        (Shape::channels_first(90, 3, &[56]), [&[8, 82], &[88, 2], &[40, 40, 10], &[90]]),
        (Shape::channels_last(72, &[3], 14), [&[32, 40], &[72], &[64, 8], &[32, 32, 8]]),
    ] {
        let c = shape.features();
        let (x, dy) = (tensor(shape, 921), tensor(shape, 922));
        let example = (shape.elements() / u64::from(shape.batch())) as usize;
        for rotate in 0..4 {
            let cut = |k: usize| cuts[(k + rotate) % 4];
            let norm = small.layer(c);
            let x_ranges = small.ranges(cut(0), example, Some(&x));
            let y_ranges = small.ranges(cut(1), example, None);
            let dy_ranges = small.ranges(cut(2), example, Some(&dy));
            let dx_ranges = small.ranges(cut(3), example, None);
            let training =
                Training::new(bindings(&x_ranges), bindings(&y_ranges)).plan(PlanRequest::new().splits(2));
            let step = norm.prepare_training(shape, training).unwrap();
            let [dweight, dbias] = [0, 1].map(|_| small.gpu.empty(c as usize));
            let backward = Backward::of(bindings(&dy_ranges))
                .input_gradient(bindings(&dx_ranges))
                .weight_gradient(whole(&dweight))
                .bias_gradient(whole(&dbias))
                .plan(PlanRequest::new().splits(2));
            let backward = norm.prepare_backward(&step, backward).unwrap();
            small
                .gpu
                .run(|pass| {
                    step.record(pass);
                    backward.record(pass);
                })
                .unwrap();
            let got = Trained {
                y: small.read(&y_ranges),
                dx: small.read(&dx_ranges),
                dweight: small.read(&[dweight]),
                dbias: small.read(&[dbias]),
                state: pollster::block_on(norm.read_state(&small.gpu.queue)).unwrap(),
            };
            let reference = cpu::Layer::with_state(&descriptor(c), &state(c, 923));
            assert_trained(&format!("{shape}, {:?}", cut(0)), &got, shape, &reference, &x, &dy);
        }
    }
}

#[test]
fn ranges_that_are_refused() {
    let norm = layer_in(&binding_at_most(4096, 256), &descriptor(7), &state(7, 941));
    let buffers = [70, 70].map(|examples| gpu().empty(examples * 7));
    let shape = Shape::rows(128, 7);
    let y = gpu().empty(128 * 7);
    let input = |ranges: Vec<BufferBinding<'static>>| TensorBinding::from(ranges);
    assert!(
        norm.prepare_evaluation(shape, Evaluation::new(input(vec![]), whole(&y))).is_err(),
        "a tensor of no range"
    );
    let error = norm.prepare_evaluation(shape, Evaluation::new(bindings(&buffers), whole(&y))).unwrap_err();
    let required = BindingError::Range { tensor: Tensor::Input, range: 0, required: 64, given: 70 };
    assert_eq!(error, required.into());
    let first = || part(&buffers[0], 0, 64 * 28);
    let ranges = [first(), part(&buffers[1], 0, 63 * 28)];
    let error = norm.prepare_evaluation(shape, Evaluation::new(ranges, whole(&y))).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::TooSmall { given: 3556, .. })), "{error}");
    // A range that is also another one's would be overwritten.
    let twice = [first(), part(&buffers[0], 0, 64 * 28)];
    let error = norm.prepare_evaluation(shape, Evaluation::new(whole(&y), twice)).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::Overlap { .. })), "{error}");
    // In place, ranges in another order are not the same tensor.
    let [a, b] = [part(&buffers[0], 0, 64 * 28), part(&buffers[1], 0, 64 * 28)];
    let swapped = Evaluation::new([a.clone(), b.clone()], [b.clone(), a.clone()]);
    assert!(norm.prepare_evaluation(shape, swapped).is_err());
    assert!(norm.prepare_evaluation(shape, Evaluation::new([a.clone(), b.clone()], [a, b])).is_ok());
    // One example alone may be too large.
    let (x, shape) = (gpu().empty(7 * 200), Shape::channels_first(1, 7, &[200]));
    let error = norm.prepare_evaluation(shape, Evaluation::new(whole(&x), whole(&x))).unwrap_err();
    assert!(
        matches!(error, PrepareError::Plan(PlanError::ExampleTooLarge { required: 5600, limit: 4096 })),
        "{error}"
    );
}

/// A gigabyte in four buffers, as large as every WebGPU device makes them, of which it binds an eighth each time.
#[test]
#[ignore = "exhaustive: make exhaustive"]
fn a_gigabyte_under_the_default_limits() {
    const BUFFERS: u32 = 4;
    let small = Small::new(wgpu::Limits::default());
    let rows = (small.gpu.device.limits().max_buffer_size.min(1 << 28) / 16) as u32;
    let shape = Shape::rows(BUFFERS * rows, 4);
    let buffers: Vec<Buffer> = (0..BUFFERS).map(|_| small.gpu.empty(rows as usize * 4)).collect();
    // In each buffer a row is not 0: in the first the first, in the last the last.
    let places: Vec<u64> = (0..u64::from(BUFFERS)).map(|k| k * (u64::from(rows) - 1) / 3).collect();
    let share = shape.count() as f32 / BUFFERS as f32;
    let row = [1.0f32, 2.0, 3.0, 4.0].map(|mean| mean * share);
    for (buffer, place) in buffers.iter().zip(&places) {
        small.gpu.queue.write_buffer(buffer, place * 16, bytemuck::cast_slice(&row));
    }
    let norm = BatchNorm::new(&small.context, &BatchNormDescriptor { momentum: Some(1.0), ..descriptor(4) })
        .unwrap();
    let training = Training::new(bindings(&buffers), bindings(&buffers));
    let step = norm.prepare_training(shape, training).unwrap();
    assert_eq!(step.plan().pieces(), 8, "{}", step.plan());
    small.gpu.run(|pass| step.record(pass)).unwrap();
    let state = pollster::block_on(norm.read_state(&small.gpu.queue)).unwrap();
    for (mean, want) in state.running_mean.iter().zip([1.0f32, 2.0, 3.0, 4.0]) {
        assert!((mean - want).abs() <= 1e-5 * want, "{mean} for {want}");
    }
    let count = shape.count() as f64;
    let (zero, other) = (-1.0 / (count / 4.0 - 1.0).sqrt(), (count / 4.0 - 1.0).sqrt());
    for (buffer, place) in buffers.iter().zip(&places) {
        let near = (*place).clamp(1, u64::from(rows) - 2) - 1;
        let rows: Vec<f32> = download(&small.gpu.device, &small.gpu.queue, part(buffer, near * 16, 48));
        for (i, y) in rows.iter().enumerate() {
            let want = if near + i as u64 / 4 == *place { other } else { zero };
            assert!((f64::from(*y) / want - 1.0).abs() < 1e-3, "row {near} + {i} / 4: {y} for {want}");
        }
    }
}
