//! The ends of what there can be: the largest workgroups, the last batch that is counted, 2²⁴ values, the largest tensor.

use testkit::coverage::cases::Case;
use testkit::coverage::positions::one_hot;
use testkit::coverage::rig::{Placement, Rig, Wanted, whole_numbers};
use testkit::gpu::{context, download, gpu, part, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::prepare::{self, Gradients};
use testkit::random::{state, tensor};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, Context, Path, PlanRequest, Shape, State, Training, wgpu,
};

#[test]
fn workgroups_of_512_and_1024() {
    let largest = context().profile().max_workgroup;
    for workgroup in [512, 1024] {
        if largest < workgroup {
            eprintln!("SKIPPED: workgroups of {workgroup}, since the adapter's largest is {largest}");
            continue;
        }
        for (shape, rest) in [
            (Shape::channels_first(7, 3, &[1236]), "planes packet=4 tile=1"),
            (Shape::rows(2163, 7), "rows packet=1 tile=8"),
        ] {
            for path in ["cached splits=1", "split splits=2"] {
                let case = Case::new(shape, &format!("{path} {rest} workgroup={workgroup}"));
                let rig = Rig::new(context(), case, Wanted::All, Placement::Disjoint);
                assert_eq!(rig.forward.plan().workgroup(), workgroup);
                let elements = shape.elements() as usize;
                rig.check(&whole_numbers(elements, 1), &whole_numbers(elements, 2));
                let x = one_hot(rig.forward.plan(), shape.count() as f32, 4);
                for (x, dy) in x.iter().zip(one_hot(rig.backward.plan(), 1.0, 4)) {
                    rig.check(x, &dy);
                }
            }
        }
    }
}

#[test]
fn the_count_of_batches_stays_at_its_end() {
    let before = State { num_batches_tracked: u64::from(u32::MAX) - 1, ..state(6, 401) };
    for momentum in [Some(0.5), None] {
        for (path, batch) in [(Path::Cached, 9), (Path::Persistent, 9), (Path::Split, 9), (Path::Cached, 0)] {
            let norm = layer(&BatchNormDescriptor { momentum, ..descriptor(6) }, &before);
            let shape = Shape::rows(batch, 6);
            let plan = if batch > 0 { PlanRequest::new().path(path) } else { PlanRequest::new() };
            let (x, y) = (gpu().upload(&tensor(Shape::rows(9, 6), 402)), gpu().empty(54));
            let step = prepare::training(&norm, shape, whole(&x), whole(&y), plan);
            for _ in 0..3 {
                gpu().run(|pass| step.record(pass)).unwrap();
                assert_eq!(read_state(&norm).num_batches_tracked, u64::from(u32::MAX), "{momentum:?} {path}");
            }
            if momentum.is_none() {
                // The average of 2³² batches does not move.
                assert_eq!(read_state(&norm).running_mean, before.running_mean, "{path}");
            }
        }
    }
}

/// Sets one value of a buffer.
fn set(buffer: &wgpu::Buffer, place: usize, value: f32) {
    gpu().queue.write_buffer(buffer, place as u64 * 4, bytemuck::bytes_of(&value));
}

/// 2²⁴ − 1, 2²⁴ and 2²⁴ + 1 values of one feature: as many ones as float32 can count, and the last values by themselves.
#[test]
#[ignore = "exhaustive: make exhaustive"]
fn sums_of_2_to_the_24_values() {
    const MOST: usize = 1 << 24;
    let norm = layer(&BatchNormDescriptor { momentum: Some(1.0), ..descriptor(1) }, &state(1, 403));
    let (x, y, dy) = (gpu().empty(MOST + 1), gpu().empty(MOST + 1), gpu().upload(&vec![1.0; MOST + 1]));
    let dbias = gpu().empty(1);
    for count in [MOST - 1, MOST, MOST + 1] {
        let shape = Shape::channels_first(1, 1, &[count as u32]);
        let tensor = |buffer| part(buffer, 0, count as u64 * 4);
        let step = prepare::training(&norm, shape, tensor(&x), tensor(&y), PlanRequest::default());
        let gradients = Gradients { dbias: Some(whole(&dbias)), ..Default::default() };
        let back = prepare::backward(&norm, &step, tensor(&dy), gradients, PlanRequest::default());
        for place in [0, MOST - 1, MOST].into_iter().filter(|&place| place < count) {
            set(&x, place, count as f32);
            gpu().run(|pass| step.record(pass)).unwrap();
            set(&x, place, 0.0);
            let mean = read_state(&norm).running_mean[0];
            assert!((mean - 1.0).abs() <= 1e-5, "{count} values, one of them set, at {place}: mean {mean}");
        }
        let sum_without = |place: Option<usize>| {
            place.iter().for_each(|&place| set(&dy, place, 0.0));
            gpu().run(|pass| back.record(pass)).unwrap();
            place.iter().for_each(|&place| set(&dy, place, 1.0));
            values(&dbias)[0]
        };
        if count <= MOST {
            assert_eq!(sum_without(None), count as f32, "{count} ones");
        }
        for place in [0, count - 1] {
            assert_eq!(sum_without(Some(place)), (count - 1) as f32, "{count} ones but for {place}");
        }
    }
}

/// As many bytes as the adapter binds at once, or as every WebGPU device binds where that is too much for a test.
#[test]
fn the_largest_tensor() {
    const TOO_LARGE: u64 = 1 << 28;
    let adapters = context().profile().max_binding;
    let small;
    let gpu = if adapters > TOO_LARGE {
        eprintln!("SKIPPED: a tensor of the {adapters} bytes that the adapter binds; 128 MiB in its place");
        small = Gpu::with_limits(|_| wgpu::Limits::default()).unwrap();
        &small
    } else {
        gpu()
    };
    let context = Context::new(&gpu.device);
    let len = (context.profile().max_binding / 4) as usize;
    let norm =
        BatchNorm::new(&context, &BatchNormDescriptor { momentum: Some(1.0), ..descriptor(4) }).unwrap();
    let tensor = gpu.empty(len);
    let shape = Shape::rows((len / 4) as u32, 4);
    let step = norm.prepare_training(shape, Training::new(whole(&tensor), whole(&tensor))).unwrap();
    // The last row alone is not 0.
    let count = shape.count() as f32;
    let row = [1.0, 2.0, 3.0, 4.0].map(|mean: f32| mean * count);
    gpu.queue.write_buffer(&tensor, (len as u64 - 4) * 4, bytemuck::cast_slice(&row));
    gpu.run(|pass| step.record(pass)).unwrap();
    let state = pollster::block_on(norm.read_state(&gpu.queue)).unwrap();
    for (mean, want) in state.running_mean.iter().zip([1.0f32, 2.0, 3.0, 4.0]) {
        assert!((mean - want).abs() <= 1e-5 * want, "{mean} for {want}");
    }
    let rows: Vec<f32> = download(&gpu.device, &gpu.queue, part(&tensor, (len as u64 - 8) * 4, 32));
    for (zero, last) in rows[..4].iter().zip(&rows[4..]) {
        // −1/√count and √count, but for what the other rows take off.
        assert!((zero * count.sqrt() + 1.0).abs() < 1e-3, "y of a zero: {zero}");
        assert!((last / count.sqrt() - 1.0).abs() < 1e-3, "y of the last row: {last}");
    }
    let one_more = Shape::rows((len / 4) as u32 + 1, 4);
    let larger = gpu.empty(len + 4);
    let step = norm.prepare_training(one_more, Training::new(whole(&larger), whole(&larger))).unwrap();
    assert_eq!(step.plan().pieces(), 2, "{}", step.plan());
}
