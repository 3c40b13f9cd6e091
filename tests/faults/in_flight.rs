//! What is dropped, set or read while the device works.

use testkit::layer::descriptor;
use testkit::random::{state, tensor};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{BatchNorm, Context, PlanRequest, Shape, State, Training, cpu, wgpu};

use crate::rig::{HANDLERS, Heard, Rig, SHAPE, before};

/// Long enough that the device is busy when the call returns.
const LONG: Shape = Shape::rows(200_000, 8);

fn whole(buffer: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
    buffer.as_entire_buffer_binding()
}

/// Submits a pass, and does not wait.
fn submit(gpu: &Gpu, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue.submit([encoder.finish()]);
}

#[test]
fn dropped_while_they_run() {
    for handler in HANDLERS {
        let gpu = Gpu::new().unwrap();
        let heard = Heard::of(&gpu.device, handler);
        let values = tensor(LONG, 5);
        let (x, y) = (gpu.upload(&values), gpu.empty(values.len()));
        {
            let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(8)).unwrap();
            let plan: PlanRequest = "split splits=7".parse().unwrap();
            let training = Training::new(whole(&x), whole(&y)).plan(plan);
            let step = norm.prepare_training(LONG, training).unwrap();
            submit(&gpu, |pass| (0..8).for_each(|_| step.record(pass)));
        }
        let mut layer = cpu::Layer::with_state(&descriptor(8), &fresh());
        let want = cpu::train(&values, LONG, &mut layer, &cpu::Options::default()).y;
        let got = gpu.download(&y).unwrap();
        assert!(got.iter().zip(want).all(|(got, want)| (f64::from(*got) - want).abs() < 1e-5));
        assert_eq!(heard.take(), [""; 0]);
    }
}

fn fresh() -> State {
    let [zero, one] = [0.0, 1.0].map(|value| vec![value; 8]);
    let (weight, bias, running_mean, running_var) = (one.clone(), zero.clone(), zero, one);
    State { weight, bias, running_mean, running_var, num_batches_tracked: 0 }
}

/// A state that is set is that of work submitted later alone, and one that is read that of work submitted before.
#[test]
fn the_state_is_set_and_read_between_submissions() {
    for handler in HANDLERS {
        let rig = Rig::new(handler);
        let values = tensor(LONG, 5);
        let (x, y) = (rig.gpu.upload(&values), rig.gpu.empty(values.len()));
        let long = rig.norm.prepare_training(LONG, Training::new(whole(&x), whole(&y))).unwrap();
        submit(&rig.gpu, |pass| (0..4).for_each(|_| long.record(pass)));
        let first = rig.norm.read_state(&rig.gpu.queue);
        rig.norm.set_state(&rig.gpu.queue, &state(8, 77)).unwrap();
        let set = rig.norm.read_state(&rig.gpu.queue);
        submit(&rig.gpu, |pass| long.record(pass));
        let last = rig.norm.read_state(&rig.gpu.queue);
        rig.norm.set_state(&rig.gpu.queue, &before()).unwrap();
        // In the other order than they were asked for.
        let [last, set, first] = [last, set, first].map(|reading| pollster::block_on(reading).unwrap());
        assert_eq!(set, state(8, 77));
        assert_eq!(first.num_batches_tracked, before().num_batches_tracked + 4);
        assert_eq!(last.num_batches_tracked, state(8, 77).num_batches_tracked + 1);
        assert_eq!((first.weight, last.weight), (before().weight, set.weight));
        rig.assert_usable();
    }
}

/// Eight threads share a context, and submit to one queue.
#[test]
fn eight_threads() {
    for handler in HANDLERS {
        let rig = Rig::new(handler);
        let all: Vec<Vec<f32>> = std::thread::scope(|scope| {
            let of = |thread: u32| {
                let rig = &rig;
                scope.spawn(move || {
                    let shape = Shape::rows(50 + thread % 4, 8);
                    let norm = BatchNorm::new(rig.norm.context(), &descriptor(8)).unwrap();
                    let values = tensor(shape, 9);
                    let (x, y) = (rig.gpu.upload(&values), rig.gpu.empty(values.len()));
                    for _ in 0..20 {
                        let training = Training::new(whole(&x), whole(&y));
                        let step = norm.prepare_training(shape, training).unwrap();
                        submit(&rig.gpu, |pass| step.record(pass));
                        norm.set_state(&rig.gpu.queue, &before()).unwrap();
                        let state = pollster::block_on(norm.read_state(&rig.gpu.queue)).unwrap();
                        assert_eq!(state, before());
                    }
                    rig.gpu.download(&y).unwrap()
                })
            };
            let threads: Vec<_> = (0..8).map(of).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (one, other) in all.iter().zip(&all[4..]) {
            assert_eq!(one, other, "the same work has the same bits");
        }
        rig.assert_usable();
    }
}

/// There is nothing saved yet: zeros, of which backward makes zeros.
#[test]
fn backward_before_any_forward() {
    let rig = Rig::new(HANDLERS[1]);
    rig.gpu.run(|pass| rig.backward.record(pass)).unwrap();
    assert_eq!(rig.gpu.download(&rig.tensors[3]).unwrap(), vec![0.0; SHAPE.elements() as usize]);
    rig.assert_usable();
}
