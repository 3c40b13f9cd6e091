//! Writes what every kernel must do as data, for a WebGPU other than wgpu to do and be held to:
//!
//!     cargo run --example dawn -- target/dawn
//!
//! Prepares steps on this machine's adapter without running them, and writes their dispatches, the tensors they read
//! and the results of the CPU twins. scripts/dawn/run.mjs runs them in Dawn, the WebGPU of Chromium; `make dawn` does
//! both.

mod cases;
mod options;
mod parts;
mod pieces;
mod problem;
mod recorder;
mod script;
mod tensors;

use std::error::Error;
use std::path::PathBuf;

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Context, ContextOptions, DeviceProfile,
    Evaluation, ForwardStep, Guard, LayerBuffers, Plan, PrepareError, Statistics, Training, wgpu,
};

use cases::{Spec, Work};
use problem::{Problem, Truth};
use recorder::Recorder;
use script::Script;
use tensors::{Placement, Tensors};

/// The tolerances of tests/gpu.
const FORWARD: f64 = 5e-7;
const BACKWARD: f64 = 1e-6;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/dawn".into()));
    // A plan within WebGPU's default limits runs everywhere.
    let gpu = Gpu::with_limits(|_| wgpu::Limits::default())?;
    let machine = DeviceProfile::of(&gpu.device);
    let with = |profile| Context::with_options(&gpu.device, ContextOptions::default().profile(profile));
    let by_half_access = |half_access| {
        let mut profile = machine;
        profile.half_access = half_access;
        with(profile)
    };
    let contexts = Contexts {
        machine: by_half_access(false),
        by_two_bytes: by_half_access(true),
        as_gpu: with(DeviceProfile::discrete()),
        in_pieces: {
            let mut profile = machine;
            (profile.half_access, profile.max_binding) = (false, 16_384);
            with(profile)
        },
    };
    let mut script = Script::default();
    for spec in cases::all() {
        if spec.half_access && !machine.half_access {
            println!("SKIPPED, since this machine's device has no SHADER_F16: {}", spec.name());
            continue;
        }
        add(&gpu, &contexts, &mut script, &spec).map_err(|error| format!("{}: {error}", spec.name()))?;
    }
    script.write(&folder)?;
    println!("{script} in {}", folder.display());
    let shaders = wgpu_batchnorm::shaders().into_iter().map(|(name, _)| name);
    let missing: Vec<String> = shaders
        .filter(|name| machine.half_access || !name.contains("_f16_halves"))
        .filter(|name| if is_sampled(name) { !script.runs_like(name) } else { !script.runs(name) })
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("in no case: {}", missing.join(", ")).into()),
    }
}

/// Whether a shader is one of a sample, of which Dawn runs others that are made of the same choices.
fn is_sampled(name: &str) -> bool {
    let epilogues = ["relu", "silu", "gelu", "residual", "_dz", "_masked", "_guarded", "_commits"];
    ["_f16", "_bf16", "_separate"].iter().chain(&epilogues).any(|choice| name.contains(choice))
}

struct Contexts {
    machine: Context,
    by_two_bytes: Context,
    as_gpu: Context,
    in_pieces: Context,
}

fn add(gpu: &Gpu, contexts: &Contexts, script: &mut Script, spec: &Spec) -> Result<()> {
    let mut problem = Problem::new(spec.extent, spec.storage, spec.epilogue);
    let (statistics, update) = match spec.work {
        Work::Training | Work::WithoutInputGradient | Work::Parts => (Statistics::Batch, true),
        Work::Frozen => (Statistics::Running, true),
        Work::Evaluation => (Statistics::Running, false),
    };
    // Both ways of moving the running statistics, and of writing the gradients of weight and bias, have their cases.
    let descriptor = problem.descriptor((spec.work != Work::Frozen).then_some(0.1));
    problem.avoid_kinks(&descriptor, statistics);
    if let Some(kind) = spec.mask {
        problem = problem.masked(kind);
    }
    let accumulate = spec.placement == Placement::Shared;
    let before = 0.75;
    let context = match spec {
        Spec { gpu: true, .. } => &contexts.as_gpu,
        Spec { pieces: true, .. } => &contexts.in_pieces,
        Spec { half_access: true, .. } => &contexts.by_two_bytes,
        _ => &contexts.machine,
    };
    let norm = layer(gpu, context, &descriptor, spec)?;
    let flag = spec.flag.unwrap_or(1);
    let tensors = Tensors::new(gpu, &problem, norm.saved_bytes(), spec.placement, before, flag);
    let mask = problem.mask.as_ref().map(|mask| mask.of(tensors.mask.binding()));
    norm.set_state(&gpu.queue, &problem.state)?;

    let mut recorder = Recorder::new(gpu, script, spec.name());
    let (shape, input, output) = (spec.extent.shape(), tensors.input.binding(), tensors.output.binding());
    if spec.work == Work::Parts {
        recorder.dispatch(parts::dispatches(gpu, &norm, spec, &tensors, accumulate)?);
        let before = if accumulate { before } else { 0.0 };
        let truth = Truth::new(&problem, &descriptor, statistics, update, before, flag > 0);
        expect(&mut recorder, &norm, spec, &tensors, truth);
        recorder.finish();
        return Ok(());
    }
    let step = match spec.work {
        Work::Evaluation => {
            let mut evaluation = Evaluation::new(input, output).storage(spec.storage).plan(spec.plan);
            evaluation = evaluation.activation(spec.epilogue.activation);
            if spec.epilogue.residual {
                evaluation = evaluation.residual(tensors.residual.binding());
            }
            if let Some(mask) = mask {
                evaluation = evaluation.mask(mask);
            }
            norm.prepare_evaluation(shape, evaluation)?
        }
        _ => {
            let mut training = Training::new(input, output).statistics(statistics).plan(spec.plan);
            training = training.storage(spec.storage).activation(spec.epilogue.activation);
            if spec.epilogue.residual {
                training = training.residual(tensors.residual.binding());
            }
            if let Some(saved) = &tensors.saved {
                training = training.saved(saved.binding());
            }
            if let Some(mask) = mask {
                training = training.mask(mask);
            }
            if spec.flag.is_some() {
                training = training.guard(Guard::SkipNonFinite).commit(tensors.flag.binding());
            }
            norm.prepare_training(shape, training)?
        }
    };
    let back = prepare_backward(&norm, spec, &step, &tensors, accumulate)?;
    for plan in [step.plan(), back.plan()] {
        check_loads(spec, plan)?;
        if spec.pieces && plan.pieces() < 2 {
            return Err(format!("pieces are missing: {plan}").into());
        }
    }
    recorder.dispatch(step.dispatches());
    recorder.dispatch(back.dispatches());

    let before = if accumulate { before } else { 0.0 };
    let truth = Truth::new(&problem, &descriptor, statistics, update, before, flag > 0);
    expect(&mut recorder, &norm, spec, &tensors, truth);
    recorder.finish();
    Ok(())
}

/// A layer whose vectors are its own, or the caller's: in buffers of their own, or in one.
fn layer(
    gpu: &Gpu,
    context: &Context,
    descriptor: &BatchNormDescriptor<'_>,
    spec: &Spec,
) -> Result<BatchNorm> {
    if !spec.own_vectors {
        return Ok(BatchNorm::new(context, descriptor)?);
    }
    let zeros = vec![0; descriptor.features as usize];
    let parts: [&[u32]; 5] = [&zeros; 5];
    let [weight, bias, mean, var, batches] = match spec.placement {
        Placement::Shared => tensors::in_one_buffer(gpu, parts),
        _ => parts.map(|part| tensors::in_its_own_buffer(gpu, part)),
    };
    let buffers = LayerBuffers::new().weight(weight.binding()).bias(bias.binding());
    let buffers = buffers.running_mean(mean.binding()).running_var(var.binding());
    Ok(BatchNorm::with_buffers(context, descriptor, buffers.num_batches_tracked(batches.binding()))?)
}

fn prepare_backward(
    norm: &BatchNorm,
    spec: &Spec,
    step: &ForwardStep,
    tensors: &Tensors,
    accumulate: bool,
) -> std::result::Result<BackwardStep, PrepareError> {
    let learns = spec.work != Work::Evaluation;
    let mut plan = spec.plan;
    let mut backward = Backward::of(tensors.output_gradient.binding()).accumulate(accumulate);
    if spec.placement == Placement::InPlace {
        backward = backward.input(tensors.kept_input.binding());
    }
    if spec.placement == Placement::ResidualInPlace {
        backward = backward.residual(tensors.kept_residual.binding());
    }
    if spec.epilogue.residual {
        backward = backward.residual_gradient(tensors.residual_gradient.binding());
    }
    if spec.without_dx {
        plan.path = plan.path.filter(|_| spec.epilogue.residual);
    } else {
        backward = backward.input_gradient(tensors.input_gradient.binding());
    }
    if learns {
        backward = backward
            .weight_gradient(tensors.weight_gradient.binding())
            .bias_gradient(tensors.bias_gradient.binding());
    }
    norm.prepare_backward(step, backward.plan(plan))
}

/// Fails where a case is not what it is for: more than one block of loads in an invocation.
fn check_loads(spec: &Spec, plan: &Plan) -> Result<()> {
    if !spec.long {
        return Ok(());
    }
    let invocations = u64::from(plan.workgroup()) * u64::from(plan.workgroups()[0]);
    let loads = spec.extent.shape().elements() / (u64::from(plan.packet()) * invocations);
    if loads <= 1024 {
        return Err(format!("{loads} loads of an invocation are too few: {plan}").into());
    }
    Ok(())
}

fn expect(recorder: &mut Recorder<'_>, norm: &BatchNorm, spec: &Spec, tensors: &Tensors, truth: Truth) {
    let (forward, backward) = (FORWARD, BACKWARD);
    if let (Some(mean), Some(variance), Some(batches)) =
        (norm.running_mean(), norm.running_var(), norm.num_batches_tracked())
    {
        let layer = &truth.layer;
        let scales = truth.running_mean_scales();
        recorder.expect("running_mean", &mean, &layer.running_mean, scales, forward);
        let scales = truth.running_var_scales();
        recorder.expect("running_var", &variance, &layer.running_var, scales, forward);
        let counts = vec![layer.num_batches_tracked as u32; norm.features() as usize];
        recorder.expect_exactly("batches", &batches, &counts);
        if let (Some(skipped), true) = (norm.skipped(), spec.flag.is_some()) {
            recorder.expect_exactly("skipped", &skipped, &vec![0; norm.features() as usize]);
        }
    }
    let Tensors { output, input_gradient, residual_gradient, weight_gradient, bias_gradient, .. } = tensors;
    if !truth.y.is_empty() {
        let stored =
            |recorder: &mut Recorder<'_>, name, at: &tensors::Range, truth: &[f64], scale, tolerance| {
                recorder.expect_stored(name, &at.binding(), spec.storage, truth, vec![scale], tolerance);
            };
        stored(recorder, "y", output, &truth.y, truth.y_scale, forward);
        if spec.epilogue.residual {
            stored(recorder, "dz", residual_gradient, &truth.dz, truth.dz_scale, backward);
        }
        if !spec.without_dx {
            stored(recorder, "dx", input_gradient, &truth.dx, truth.dx_scale, backward);
        }
    }
    if spec.work != Work::Evaluation {
        let (weight, bias) = (weight_gradient.binding(), bias_gradient.binding());
        recorder.expect("dweight", &weight, &truth.dweight, truth.dweight_scales, backward);
        recorder.expect("dbias", &bias, &truth.dbias, truth.dbias_scales, backward);
    }
}
