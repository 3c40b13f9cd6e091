//! Buffers, queues and passes of another device, and buffers that were destroyed.

use testkit::layer::descriptor;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, DeviceError, Evaluation, LayerBuffers, LayerStateError, Mask, PrepareError,
    ReadError, StateError, Training, read_states, set_states, wgpu,
};

use crate::rig::{HANDLERS, Handler, Rig, SHAPE, before};

/// Two devices of one instance. Of two instances wgpu confuses even the buffers: it knows a resource by a number that each
/// instance counts for itself.
fn pair(handler: Handler) -> [Rig; 2] {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    [0, 1].map(|_| {
        let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
        Rig::on(Gpu::from_device(device, queue), handler)
    })
}

fn is_foreign(error: &DeviceError) -> bool {
    matches!(error, DeviceError::OtherDevice { .. })
}

#[track_caller]
fn assert_foreign<T>(prepared: Result<T, PrepareError>) {
    match prepared {
        Err(PrepareError::Device(error)) if is_foreign(&error) => {}
        Err(other) => panic!("required an error of another device, given {other}"),
        Ok(_) => panic!("required an error of another device"),
    }
}

fn whole(buffer: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
    buffer.as_entire_buffer_binding()
}

#[test]
fn tensors_of_another_device() {
    for handler in HANDLERS {
        let [mut rig, other] = pair(handler);
        let tensors = rig.tensors.clone();
        let [x, y, dy, dx] = tensors.each_ref().map(whole);
        let [x2, y2, dy2, dx2] = other.bindings();
        let norm = &rig.norm;
        assert_foreign(norm.prepare_training(SHAPE, Training::new(x2.clone(), y.clone())));
        assert_foreign(norm.prepare_training(SHAPE, Training::new(x.clone(), y2.clone())));
        assert_foreign(norm.prepare_training(SHAPE, Training::new(x2.clone(), y2.clone())));
        assert_foreign(norm.prepare_evaluation(SHAPE, Evaluation::new(x2.clone(), y.clone())));
        let masked = Training::new(x.clone(), y.clone()).mask(Mask::Lengths(x2.clone()));
        assert_foreign(norm.prepare_training(SHAPE, masked));
        let backward = Backward::of(dy2).input_gradient(dx.clone());
        assert_foreign(norm.prepare_backward(&rig.forward, backward));
        let backward = || Backward::of(dy.clone()).input_gradient(dx2.clone());
        assert_foreign(norm.prepare_backward(&rig.forward, backward()));
        assert_foreign(rig.forward.rebind(&rig.norm, Training::new(x2, y)));
        assert_foreign(rig.backward.rebind(&rig.norm, &rig.forward, backward()));
        rig.assert_usable();
        other.assert_usable();
    }
}

#[test]
fn vectors_of_another_device() {
    for handler in HANDLERS {
        let [rig, other] = pair(handler);
        let weight = other.gpu.empty(8);
        let buffers = LayerBuffers::new().weight(whole(&weight));
        // What is bound nowhere yet cannot be known.
        let norm = BatchNorm::with_buffers(rig.norm.context(), &descriptor(8), buffers).unwrap();
        assert_foreign(norm.prepare_training(SHAPE, rig.training()));
        match norm.set_state(&rig.gpu.queue, &before()).unwrap_err() {
            StateError::Device(error) => assert!(is_foreign(&error), "{error}"),
            error => panic!("{error}"),
        }
        match pollster::block_on(norm.read_state(&rig.gpu.queue)).unwrap_err() {
            ReadError::Device(error) => assert!(is_foreign(&error), "{error}"),
            error => panic!("{error}"),
        }
        rig.assert_usable();
        other.assert_usable();
    }
}

#[test]
fn the_queue_of_another_device() {
    for handler in HANDLERS {
        // The context knows its queue, or not yet.
        for knows in [false, true] {
            let [rig, other] = pair(handler);
            let norm =
                BatchNorm::new(&wgpu_batchnorm::Context::new(&rig.gpu.device), &descriptor(8)).unwrap();
            if knows {
                norm.set_state(&rig.gpu.queue, &before()).unwrap();
            }
            // While the device works, a queue is taken for its.
            rig.gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
            let foreign = &other.gpu.queue;
            let set = set_states(foreign, &[(&norm, &before())]).unwrap_err();
            assert!(
                matches!(&set, LayerStateError { layer: 0, error: StateError::Device(error) } if is_foreign(error)),
                "{set}"
            );
            for error in [
                pollster::block_on(read_states(foreign, &[&norm])).unwrap_err(),
                pollster::block_on(norm.read_skipped(foreign)).unwrap_err(),
            ] {
                assert!(matches!(&error, ReadError::Device(error) if is_foreign(error)), "{error}");
            }
            norm.set_state(&rig.gpu.queue, &before()).unwrap();
            rig.assert_usable();
            other.assert_usable();
        }
    }
}

/// wgpu tells the pass's device when the encoder is finished. `record` cannot fail, and cannot know.
#[test]
fn the_pass_of_another_device() {
    let [rig, other] = pair(Handler::Own);
    let mut encoder = other.gpu.device.create_command_encoder(&Default::default());
    rig.forward.record(&mut encoder.begin_compute_pass(&Default::default()));
    encoder.finish();
    let heard = other.heard.take();
    assert!(heard.len() == 1 && heard[0].contains("doesn't match"), "{heard:?}");
    rig.assert_usable();
    other.assert_usable();
}

/// wgpu tells at the submission, of which nothing is done; or when a step is prepared on a buffer that is gone already.
#[test]
fn buffers_that_were_destroyed() {
    for handler in HANDLERS {
        let rig = Rig::new(handler);
        let len = SHAPE.elements() as usize;
        let [x, y] = [rig.gpu.empty(len), rig.gpu.empty(len)];
        let step = rig.norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y))).unwrap();
        x.destroy();
        let run = rig.gpu.run(|pass| step.record(pass)).unwrap_err();
        assert!(matches!(run, ReadError::Device(DeviceError::Refused { .. })), "{run}");
        let error = rig.norm.prepare_training(SHAPE, Training::new(whole(&x), whole(&y))).unwrap_err();
        assert!(matches!(error, PrepareError::Device(DeviceError::Refused { .. })), "{error}");
        rig.assert_usable();
    }
}
