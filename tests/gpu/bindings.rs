//! Where the layer's vectors and the caller's tensors are: what is handed out, and ranges that touch.

use testkit::gpu::{context, download, gpu, part, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::prepare::{self, Gradients};
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::{Backward, BatchNorm, LayerBuffers, PlanRequest, Shape, State, Training, wgpu};

fn read<T: bytemuck::Pod>(binding: Option<wgpu::BufferBinding<'_>>) -> Vec<T> {
    download(&gpu().device, &gpu().queue, binding.expect("the layer has it"))
}

#[test]
fn what_is_handed_out_is_the_vector() {
    for features in [5, 64, 100] {
        let before = State { num_batches_tracked: 7, ..state(features, 501) };
        let norm = layer(&descriptor(features), &before);
        assert_eq!(read::<f32>(norm.weight()), before.weight);
        assert_eq!(read::<f32>(norm.bias()), before.bias);
        assert_eq!(read::<f32>(norm.running_mean()), before.running_mean);
        assert_eq!(read::<f32>(norm.running_var()), before.running_var);
        assert_eq!(read::<u32>(norm.num_batches_tracked()), vec![7; features as usize]);
        let (parameters, stride) = (read::<f32>(norm.parameters()), norm.parameter_stride() as usize);
        assert_eq!(parameters.len(), stride + features as usize);
        assert_eq!(parameters[..features as usize], before.weight);
        assert_eq!(parameters[stride..], before.bias);
    }
}

/// What an optimizer writes to the bindings is what the next step reads.
#[test]
fn what_is_written_to_a_binding_is_read_by_a_step() {
    let (shape, after) = (Shape::rows(40, 70), state(70, 502));
    let (x, dy) = (tensor(shape, 503), tensor(shape, 504));
    let want = train(&layer(&descriptor(70), &after), shape, &x, &dy, PlanRequest::default());
    let norm = layer(&descriptor(70), &state(70, 505));
    for (binding, values) in [
        (norm.weight(), &after.weight),
        (norm.bias(), &after.bias),
        (norm.running_mean(), &after.running_mean),
        (norm.running_var(), &after.running_var),
    ] {
        let binding = binding.unwrap();
        gpu().queue.write_buffer(binding.buffer, binding.offset, bytemuck::cast_slice(values));
    }
    assert_eq!(read_state(&norm), after);
    assert_eq!(train(&norm, shape, &x, &dy, PlanRequest::default()), want);
}

/// Tensors that fill a buffer to the last byte, one right behind the other, also with the layer's vectors.
#[test]
fn ranges_that_touch_do_not_overlap() {
    let (shape, before) = (Shape::rows(16, 64), state(64, 506));
    let (x, dy) = (tensor(shape, 507), tensor(shape, 508));
    let want = train(&layer(&descriptor(64), &before), shape, &x, &dy, PlanRequest::default());
    let (vector, bytes) = (256u64, shape.elements() * 4);
    let arena = gpu().empty((4 * bytes + 13 * vector) as usize / 4);
    let at = |k: u64| part(&arena, k * bytes, bytes);
    let vectors = |k: u64, count: u64| part(&arena, 4 * bytes + k * vector, count * vector);
    let buffers = LayerBuffers::new().weight(vectors(0, 1)).bias(vectors(1, 1)).running_mean(vectors(2, 1));
    let buffers = buffers.running_var(vectors(3, 1)).num_batches_tracked(vectors(4, 1));
    let norm = BatchNorm::with_buffers(context(), &descriptor(64), buffers).unwrap();
    norm.set_state(&gpu().queue, &before).unwrap();
    for (k, tensor) in [(0, &x), (2, &dy)] {
        gpu().queue.write_buffer(&arena, k * bytes, bytemuck::cast_slice(tensor));
    }
    let step = norm.prepare_training(shape, Training::new(at(0), at(1)).saved(vectors(7, 6))).unwrap();
    let gradients = Gradients {
        dx: Some(at(3)),
        dweight: Some(vectors(5, 1)),
        dbias: Some(vectors(6, 1)),
        accumulate: false,
    };
    let back = prepare::backward(&norm, &step, at(2), gradients, PlanRequest::default());
    gpu()
        .run(|pass| {
            step.record(pass);
            back.record(pass);
        })
        .unwrap();
    let all = values(&arena);
    let len = x.len();
    assert_eq!(all[..len], x);
    assert_eq!(all[len..2 * len], want.y);
    assert_eq!(all[2 * len..3 * len], dy);
    assert_eq!(all[3 * len..4 * len], want.dx);
    assert_eq!(all[4 * len + 5 * 64..][..64], want.dweight);
    assert_eq!(all[4 * len + 6 * 64..][..64], want.dbias);
    assert_eq!(read_state(&norm), want.state);
}

/// The backward of a step that has put y in the place of x, from a copy of x: all gradients, on every path.
#[test]
fn backward_after_an_in_place_forward() {
    for (shape, view) in [(Shape::rows(61, 20), "rows"), (Shape::channels_first(9, 5, &[28]), "planes")] {
        let c = shape.features();
        let (x, dy, before) = (tensor(shape, 509), tensor(shape, 510), state(c, 511));
        for path in ["cached", "split splits=3", "persistent held=4"] {
            let plan: PlanRequest = format!("{path} {view} packet=4 workgroup=32 tile=2").parse().unwrap();
            let want = train(&layer(&descriptor(c), &before), shape, &x, &dy, plan);
            let norm = layer(&descriptor(c), &before);
            let (tensor, copy) = (gpu().upload(&x), gpu().upload(&x));
            let step = prepare::training(&norm, shape, whole(&tensor), whole(&tensor), plan);
            let (dy, dx) = (gpu().upload(&dy), gpu().empty(x.len()));
            let (dweight, dbias) = (gpu().empty(c as usize), gpu().empty(c as usize));
            let backward = Backward::of(whole(&dy)).input(whole(&copy)).input_gradient(whole(&dx));
            let backward = backward.weight_gradient(whole(&dweight)).bias_gradient(whole(&dbias)).plan(plan);
            let back = norm.prepare_backward(&step, backward).unwrap();
            gpu()
                .run(|pass| {
                    step.record(pass);
                    back.record(pass);
                })
                .unwrap();
            let what = format!("{shape}, [{plan}]");
            assert!(values(&tensor) == want.y && read_state(&norm) == want.state, "forward of {what}");
            assert!(values(&dx) == want.dx, "dx of {what}");
            assert!(values(&dweight) == want.dweight && values(&dbias) == want.dbias, "sums of {what}");
        }
    }
}
