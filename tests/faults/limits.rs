//! Devices that bind few storage buffers: another path is taken, or an error names the limit.

use testkit::layer::descriptor;
use testkit::random::tensor;
use wgpu_batchnorm::fold::{FoldError, FoldKernel};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Activation, Backward, BatchNorm, Context, Evaluation, Finalize, FinalizeGradients, LayerBuffers, Mask,
    Moments, Path, PlanError, PrepareError, Shape, Step, Training, cpu, wgpu,
};

use crate::rig::{HANDLERS, Heard, before};

const SHAPE: Shape = Shape::rows(60, 8);

/// A device that binds so many storage buffers in a dispatch.
fn gpu(buffers: u32) -> Gpu {
    let limits = wgpu::Limits { max_storage_buffers_per_shader_stage: buffers, ..wgpu::Limits::default() };
    Gpu::with_limits(|_| limits).unwrap()
}

fn whole(buffer: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
    buffer.as_entire_buffer_binding()
}

/// The step, or the error that says which limit is too low.
#[track_caller]
fn prepared<T>(step: Result<T, PrepareError>, buffers: u32) -> Option<T> {
    match step {
        Ok(step) => Some(step),
        Err(PrepareError::Plan(PlanError::StorageBuffers { required, given })) => {
            assert!(
                required > buffers && given == buffers,
                "{required} required, {given} given of {buffers}"
            );
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < 1e-5, "{what}: {got} for {want}");
    }
}

/// Training, its backward and an evaluation on devices that bind 3 to 8: right, or refused by name.
#[test]
fn few_storage_buffers() {
    for handler in HANDLERS {
        for buffers in 3..=8 {
            let gpu = gpu(buffers);
            let heard = Heard::of(&gpu.device, handler);
            let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(8)).unwrap();
            norm.set_state(&gpu.queue, &before()).unwrap();
            let [x, dy] = [2, 3].map(|seed| tensor(SHAPE, seed));
            let [input, dy_in] = [&x, &dy].map(|values| gpu.upload(values));
            let [y, dx] = std::array::from_fn(|_| gpu.empty(x.len()));
            let [dweight, dbias] = std::array::from_fn(|_| gpu.empty(8));
            let mut layer = cpu::Layer::with_state(&descriptor(8), &before());
            let options = cpu::Options::default();

            let evaluation = norm.prepare_evaluation(SHAPE, Evaluation::new(whole(&input), whole(&y)));
            let evaluation = prepared(evaluation, buffers);
            assert_eq!(evaluation.is_some(), buffers >= 4);
            if let Some(evaluation) = evaluation {
                gpu.run(|pass| evaluation.record(pass)).unwrap();
                let want = cpu::evaluate(&x, SHAPE, &layer, &options).y;
                assert_close("evaluation", &gpu.download(&y).unwrap(), &want);
            }
            let training = norm.prepare_training(SHAPE, Training::new(whole(&input), whole(&y))).unwrap();
            assert!(buffers >= 4 || training.plan().path() == Path::Split, "{}", training.plan());
            gpu.run(|pass| training.record(pass)).unwrap();
            let forward = cpu::train(&x, SHAPE, &mut layer, &options);
            assert_close("y", &gpu.download(&y).unwrap(), &forward.y);

            let gradients = Backward::of(whole(&dy_in))
                .input_gradient(whole(&dx))
                .weight_gradient(whole(&dweight))
                .bias_gradient(whole(&dbias));
            let backward = prepared(norm.prepare_backward(&training, gradients), buffers);
            assert_eq!(backward.is_some(), buffers >= 5);
            if let Some(backward) = backward {
                gpu.run(|pass| backward.record(pass)).unwrap();
                let want = cpu::backward(&x, &dy, SHAPE, &forward.saved, &options).dx;
                assert_close("dx", &gpu.download(&dx).unwrap(), &want);
            }
            assert_eq!(heard.take(), [""; 0], "{buffers} buffers");
        }
    }
}

/// Whatever is asked for: nothing but the named error, or a step that runs.
#[test]
fn every_step_is_prepared_or_refused_by_name() {
    for handler in HANDLERS {
        for buffers in 1..=8 {
            let gpu = gpu(buffers);
            let heard = Heard::of(&gpu.device, handler);
            let context = Context::new(&gpu.device);
            let [x, y, z, dy, dx, dz] = std::array::from_fn(|_| gpu.empty(SHAPE.elements() as usize));
            let [flag, lengths, record, vector] = [1, 60, 4096, 64].map(|len| gpu.empty(len));
            let mut steps: Vec<Box<dyn Step>> = vec![];
            let buffers_of = LayerBuffers::new().weight(whole(&vector));
            for norm in [
                BatchNorm::new(&context, &descriptor(8)).unwrap(),
                BatchNorm::with_buffers(&context, &descriptor(8), buffers_of).unwrap(),
            ] {
                for shape in [SHAPE, Shape::rows(0, 8)] {
                    let plain = || Training::new(whole(&x), whole(&y));
                    let full = plain()
                        .mask(Mask::Lengths(whole(&lengths)))
                        .activation(Activation::Silu)
                        .residual(whole(&z))
                        .commit(whole(&flag));
                    for training in [plain(), full] {
                        let forward = norm.prepare_training(shape, training);
                        let Some(forward) = prepared(forward, buffers) else { continue };
                        let backward = || Backward::of(whole(&dy)).input_gradient(whole(&dx));
                        for backward in [backward(), backward().residual_gradient(whole(&dz))] {
                            match norm.prepare_backward(&forward, backward) {
                                Err(PrepareError::NoResidual) => {}
                                step => steps.extend(prepared(step, buffers).map(|step| Box::new(step) as _)),
                            }
                        }
                        steps.push(Box::new(forward));
                    }
                    let evaluation = Evaluation::new(whole(&x), whole(&y)).residual(whole(&z));
                    let evaluation = norm.prepare_evaluation(shape, evaluation);
                    steps.extend(prepared(evaluation, buffers).map(|step| Box::new(step) as _));
                    let moments = norm.prepare_moments(shape, Moments::new(whole(&x), whole(&record)));
                    steps.extend(prepared(moments, buffers).map(|step| Box::new(step) as _));
                }
                let finalize = norm.prepare_finalize(Finalize::new(whole(&record), 1));
                let Some(finalize) = prepared(finalize, buffers) else { continue };
                let gradients =
                    norm.prepare_finalize_gradients(&finalize, FinalizeGradients::new(whole(&record), 1));
                steps.extend(prepared(gradients, buffers).map(|step| Box::new(step) as _));
                steps.push(Box::new(finalize));
            }
            gpu.run(|pass| steps.iter().for_each(|step| step.record(pass))).unwrap();
            match FoldKernel::new(&context) {
                Ok(_) => assert_eq!(buffers, 8),
                Err(error) => assert_eq!(error, FoldError::StorageBuffers { required: 8, given: buffers }),
            }
            assert_eq!(heard.take(), [""; 0], "{buffers} buffers");
        }
    }
}

/// Buffers of at most 64 KiB: less than the blocks that the context takes memory in.
#[test]
fn small_buffers() {
    let limits = wgpu::Limits {
        max_buffer_size: 1 << 16,
        max_storage_buffer_binding_size: 1 << 16,
        ..wgpu::Limits::default()
    };
    for handler in HANDLERS {
        let gpu = Gpu::with_limits(|_| limits.clone()).unwrap();
        crate::rig::Rig::on(gpu, handler).assert_usable();
    }
}
