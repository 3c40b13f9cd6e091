//! A device that is lost: destroyed, which is the way to lose one at will.

use std::sync::Barrier;
use std::time::Duration;

use testkit::layer::descriptor;
use wgpu_batchnorm::fold::{FoldError, FoldKernel};
use wgpu_batchnorm::{
    Backward, BatchNorm, Context, DescriptorError, DeviceError, Evaluation, Finalize, FinalizeGradients,
    Moments, Op, PipelineError, Plan, PlanRequest, PrepareError, ReadError, Shape, StateError, Training,
    wgpu,
};

use crate::rig::{HANDLERS, Rig, SHAPE, before};

const LOST: PrepareError = PrepareError::Device(DeviceError::Lost);

/// Destroyed, before and after wgpu gives its buffers back.
fn lost() -> impl Iterator<Item = Rig> {
    let of = |handler| {
        [false, true].map(|polled| {
            let rig = Rig::new(handler);
            rig.gpu.device.destroy();
            if polled {
                rig.gpu.device.poll(wgpu::PollType::Poll).unwrap();
            }
            rig
        })
    };
    HANDLERS.into_iter().flat_map(of)
}

#[test]
fn a_layer_is_not_made() {
    for rig in lost() {
        for context in [rig.norm.context().clone(), Context::new(&rig.gpu.device)] {
            let made = BatchNorm::new(&context, &descriptor(3)).unwrap_err();
            assert_eq!(made, DescriptorError::Device(DeviceError::Lost));
            let kernel = FoldKernel::new(&context).unwrap_err();
            assert_eq!(kernel, FoldError::Device(DeviceError::Lost));
            let plan = Plan::new(context.profile(), Op::Evaluation, SHAPE, PlanRequest::new()).unwrap();
            let warmed = pollster::block_on(context.warm_up(&[plan]));
            assert_eq!(warmed, Err(PipelineError::Device(DeviceError::Lost)));
        }
        assert_eq!(rig.heard.take(), [""; 0]);
    }
}

#[test]
fn no_step_is_prepared() {
    for mut rig in lost() {
        // Of the same parameters as before, of others, and with other pipelines.
        assert_eq!(rig.norm.prepare_training(SHAPE, rig.training()).unwrap_err(), LOST);
        assert_eq!(rig.norm.prepare_training(Shape::rows(39, 8), rig.training()).unwrap_err(), LOST);
        let tensors = rig.tensors.clone();
        let [x, y, dy, dx] = tensors.each_ref().map(wgpu::Buffer::as_entire_buffer_binding);
        let evaluation = Evaluation::new(x.clone(), y.clone());
        assert_eq!(rig.norm.prepare_evaluation(SHAPE, evaluation).unwrap_err(), LOST);
        let backward = || Backward::of(dy.clone()).input_gradient(dx.clone());
        assert_eq!(rig.norm.prepare_backward(&rig.forward, backward()).unwrap_err(), LOST);
        let record = rig.gpu.empty(4096);
        let record = || record.as_entire_buffer_binding();
        assert_eq!(rig.norm.prepare_moments(SHAPE, Moments::new(x.clone(), record())).unwrap_err(), LOST);
        assert_eq!(rig.norm.prepare_finalize(Finalize::new(record(), 1)).unwrap_err(), LOST);
        let sums = rig.norm.prepare_gradient_sums(&rig.forward, Backward::of(dy.clone()), record());
        assert_eq!(sums.unwrap_err(), LOST);
        assert_eq!(rig.backward.rebind(&rig.norm, &rig.forward, backward()).unwrap_err(), LOST);
        let training = Training::new(x.clone(), y);
        assert_eq!(rig.forward.rebind(&rig.norm, training).unwrap_err(), LOST);
        assert_eq!(rig.heard.take(), [""; 0]);
    }
}

#[test]
fn finalizing_gradients_is_not_prepared() {
    for handler in HANDLERS {
        let rig = Rig::new(handler);
        let record = rig.gpu.empty(4096);
        let record = || record.as_entire_buffer_binding();
        let finalized = rig.norm.prepare_finalize(Finalize::new(record(), 1)).unwrap();
        rig.gpu.device.destroy();
        let gradients = rig.norm.prepare_finalize_gradients(&finalized, FinalizeGradients::new(record(), 1));
        assert_eq!(gradients.unwrap_err(), LOST);
        let [x, y, ..] = rig.bindings();
        let apply = rig.norm.prepare_apply(&finalized, SHAPE, Evaluation::new(x, y));
        assert_eq!(apply.unwrap_err(), LOST);
        assert_eq!(rig.heard.take(), [""; 0]);
    }
}

#[test]
fn nothing_runs_and_nothing_is_read() {
    for rig in lost() {
        let lost = ReadError::Device(DeviceError::Lost);
        let run = rig.gpu.run(|pass| {
            rig.forward.record(pass);
            rig.backward.record(pass);
        });
        assert_eq!(run, Err(lost.clone()));
        assert_eq!(pollster::block_on(rig.norm.read_state(&rig.gpu.queue)), Err(lost.clone()));
        assert_eq!(pollster::block_on(rig.norm.read_skipped(&rig.gpu.queue)), Err(lost.clone()));
        let set = rig.norm.set_state(&rig.gpu.queue, &before());
        assert_eq!(set, Err(StateError::Device(DeviceError::Lost)));
        assert_eq!(rig.gpu.download(&rig.gpu.upload(&[1.0; 4])), Err(lost.clone()));
        assert_eq!(rig.gpu.download(&rig.tensors[1]), Err(lost));
        assert_eq!(rig.heard.take(), [""; 0]);
    }
}

/// What was submitted before may still be read; the answer is the state or an error, at once.
#[test]
fn lost_while_the_state_is_read() {
    for handler in HANDLERS {
        let rig = Rig::new(handler);
        let reading = rig.norm.read_state(&rig.gpu.queue);
        rig.gpu.device.destroy();
        match pollster::block_on(reading) {
            Ok(state) => assert_eq!(state, before()),
            Err(error) => assert_eq!(error, ReadError::Device(DeviceError::Lost)),
        }
        assert_eq!(rig.heard.take(), [""; 0]);
    }
}

/// Threads that make layers, prepare, run and read until they are told; each is, whatever it was about to do.
#[test]
fn lost_while_other_threads_work() {
    for handler in HANDLERS {
        for delay in [0, 1, 5, 20] {
            let rig = Rig::new(handler);
            let barrier = Barrier::new(5);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (rig, barrier) = (&rig, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        while works(rig, thread) {}
                    });
                }
                barrier.wait();
                std::thread::sleep(Duration::from_millis(delay));
                rig.gpu.device.destroy();
            });
            assert_eq!(rig.heard.take(), [""; 0], "{handler:?}, after {delay} ms");
        }
    }
}

/// Whether the device is there; what fails must say that it is lost.
fn works(rig: &Rig, thread: u32) -> bool {
    let lost = match thread {
        0 => match BatchNorm::new(rig.norm.context(), &descriptor(8)) {
            Err(error) => error == DescriptorError::Device(DeviceError::Lost),
            Ok(_) => return true,
        },
        1 => match rig.norm.prepare_training(SHAPE, rig.training()) {
            Err(error) => error == LOST,
            Ok(_) => return true,
        },
        2 => match rig.gpu.run(|pass| rig.forward.record(pass)) {
            Err(error) => error == ReadError::Device(DeviceError::Lost),
            Ok(()) => return true,
        },
        _ => match pollster::block_on(rig.norm.read_state(&rig.gpu.queue)) {
            Err(error) => error == ReadError::Device(DeviceError::Lost),
            Ok(_) => return true,
        },
    };
    assert!(lost, "thread {thread} was told something else");
    false
}
