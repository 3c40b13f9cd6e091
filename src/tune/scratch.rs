//! The scratch layer and tensors that plans are measured on.

use super::TuneError;
use super::fill::{filled, random, watched};
use super::request::forward_of;
use crate::kernels::Context;
use crate::layer::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Evaluation, ForwardStep, Guard, LayerBuffers,
    Mask, PrepareError, Training,
};
use crate::plan::{MaskKind, Op, Plan, PlanRequest, ResidualGradient, Work, mask_words, vector_stride};
use crate::tensor::Shape;

/// Bytes of sets of tensors on a GPU: more than its caches hold.
const SETS: u64 = 256 << 20;

/// Tensors of a step. Each set is used in turn, so that a GPU finds none in a cache.
struct Set {
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    z: Option<wgpu::Buffer>,
    dy: Option<wgpu::Buffer>,
    dx: Option<wgpu::Buffer>,
    dz: Option<wgpu::Buffer>,
}

/// Everything that steps are prepared on.
pub(super) struct Scratch {
    norm: BatchNorm,
    shape: Shape,
    works: Vec<Work>,
    sets: Vec<Set>,
    mask: wgpu::Buffer,
    flag: wgpu::Buffer,
    gradients: [wgpu::Buffer; 2],
    /// The steps whose backward alone is measured.
    forwards: Vec<ForwardStep>,
}

/// Prepared steps, of each set those of all works.
pub(super) struct Steps(Vec<(Option<ForwardStep>, Option<BackwardStep>)>);

impl Steps {
    /// Iterations that use each set once.
    pub fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// Records so many iterations.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, iterations: u32) {
        for (forward, backward) in self.0.iter().cycle().take(iterations as usize) {
            forward.iter().for_each(|step| step.record(pass));
            backward.iter().for_each(|step| step.record(pass));
        }
    }
}

impl Scratch {
    pub async fn new(
        layer: &BatchNorm,
        queue: &wgpu::Queue,
        shape: Shape,
        works: Vec<Work>,
    ) -> Result<Self, TuneError> {
        shape.validate(layer.features()).map_err(PrepareError::from)?;
        let (work, last) = (works[0], works[works.len() - 1]);
        let evaluates = work.op == Op::Evaluation || forward_of(work).op == Op::Evaluation;
        if evaluates && !layer.descriptor().track_running_stats {
            return Err(other(work));
        }
        let has = tensors(work, last);
        let bytes = last.bytes(shape).max(4);
        let of_set = bytes.saturating_mul(has.iter().filter(|&&has| has).count() as u64);
        let sets = match layer.context().profile().simd() {
            Some(_) => 1,
            None => (SETS / of_set).clamp(1, 16),
        };
        let required = of_set.saturating_mul(sets);
        let device = layer.context().device();
        if bytes > device.limits().max_buffer_size {
            return Err(TuneError::Memory { required });
        }
        let (scratch, error) = watched(device, || {
            let set = |_| {
                let tensor = || random(device, queue, bytes, work.storage);
                let [z, dy, dx, dz] = [has[2], has[3], has[4], has[5]].map(|has| has.then(tensor));
                Set { x: tensor(), y: tensor(), z, dy, dx, dz }
            };
            let sets = (0..sets).map(set).collect();
            Self::with_sets(layer, queue, shape, works, sets)
        });
        if error.await {
            return Err(TuneError::Memory { required });
        }
        scratch
    }

    fn with_sets(
        layer: &BatchNorm,
        queue: &wgpu::Queue,
        shape: Shape,
        works: Vec<Work>,
        sets: Vec<Set>,
    ) -> Result<Self, TuneError> {
        let (context, work) = (layer.context(), works[0]);
        let norm = scratch_layer(context, layer.descriptor(), queue, work.separate_vectors)?;
        // All positions are valid, and all batches count.
        let words = match work.mask {
            Some(MaskKind::Lengths) => shape.batch().into(),
            Some(MaskKind::Positions) => mask_words(shape),
            None => 1,
        };
        let ones = |words: u64| filled(context.device(), queue, words.max(1) * 4, &[u32::MAX]);
        let vector = u64::from(shape.features()) * 4;
        let gradients = std::array::from_fn(|_| filled(context.device(), queue, vector, &[0]));
        Ok(Self {
            norm,
            shape,
            works,
            sets,
            mask: ones(words),
            flag: ones(1),
            gradients,
            forwards: Vec::new(),
        })
    }

    /// Prepares what comes before the work, where it is backward alone; the caller runs it once.
    pub fn prepare_forwards(&self) -> Result<Option<Steps>, TuneError> {
        if !self.works[0].op.is_backward() {
            return Ok(None);
        }
        let work = forward_of(self.works[0]);
        let step = |set| Ok((Some(self.forward(set, work, PlanRequest::default())?), None));
        self.sets.iter().map(step).collect::<Result<_, TuneError>>().map(|steps| Some(Steps(steps)))
    }

    /// Keeps the forward steps, once they have run.
    pub fn keep_forwards(&mut self, steps: Steps) {
        self.forwards = steps.0.into_iter().filter_map(|(forward, _)| forward).collect();
    }

    /// Prepares steps by a plan for each work.
    pub fn prepare(&self, plans: &[Plan]) -> Result<Steps, TuneError> {
        let steps = self.sets.iter().enumerate().map(|(i, set)| {
            let (mut forward, mut backward) = (None, None);
            for (&work, plan) in self.works.iter().zip(plans) {
                let request = plan.request();
                if work.op.is_backward() {
                    let of = forward.as_ref().or(self.forwards.get(i));
                    let of = of.expect("the forward of a backward is measured with it, or was run before");
                    backward = Some(self.backward(set, of, work, request)?);
                } else {
                    forward = Some(self.forward(set, work, request)?);
                }
            }
            Ok((forward, backward))
        });
        steps.collect::<Result<_, TuneError>>().map(Steps)
    }

    fn mask_of(&self, work: Work) -> Option<Mask<'_>> {
        let binding = self.mask.as_entire_buffer_binding();
        work.mask.map(|kind| match kind {
            MaskKind::Lengths => Mask::Lengths(binding),
            MaskKind::Positions => Mask::Positions(binding),
        })
    }

    fn forward(&self, set: &Set, work: Work, plan: PlanRequest) -> Result<ForwardStep, TuneError> {
        let whole = wgpu::Buffer::as_entire_buffer_binding;
        let (x, y) = (whole(&set.x), whole(&set.y));
        let (activation, storage) = (work.epilogue.activation, work.storage);
        let step = if work.op == Op::Evaluation {
            let mut asked = Evaluation::new(x, y).activation(activation).storage(storage).plan(plan);
            if let Some(z) = &set.z {
                asked = asked.residual(whole(z));
            }
            if let Some(mask) = self.mask_of(work) {
                asked = asked.mask(mask);
            }
            self.norm.prepare_evaluation(self.shape, asked)?
        } else {
            let update_running = work.op == Op::Training { update_running: true };
            let mut asked = Training::new(x, y).activation(activation).storage(storage).plan(plan);
            asked = asked.update_running(update_running);
            asked = asked.guard(if work.guard { Guard::SkipNonFinite } else { Guard::None });
            if let Some(z) = &set.z {
                asked = asked.residual(whole(z));
            }
            if let Some(mask) = self.mask_of(work) {
                asked = asked.mask(mask);
            }
            if let Some(examples) = work.virtual_batch {
                asked = asked.virtual_batch(examples);
            }
            if work.commit {
                asked = asked.commit(whole(&self.flag));
            }
            self.norm.prepare_training(self.shape, asked)?
        };
        let given = step.plan().work();
        // What comes before a backward need only save statistics.
        let measured = self.works.iter().any(|work| !work.op.is_backward());
        if measured && !is_same(given, work) { Err(other(work)) } else { Ok(step) }
    }

    fn backward(
        &self,
        set: &Set,
        forward: &ForwardStep,
        work: Work,
        plan: PlanRequest,
    ) -> Result<BackwardStep, TuneError> {
        let whole = wgpu::Buffer::as_entire_buffer_binding;
        let dy = set.dy.as_ref().expect("a backward has a dy");
        let mut asked = Backward::of(whole(dy)).plan(plan);
        if let Some(dx) = &set.dx {
            asked = asked.input_gradient(whole(dx));
        }
        if let Some(dz) = &set.dz {
            let adds = work.residual_gradient == Some(ResidualGradient::Add);
            asked = asked.residual_gradient(whole(dz)).accumulate_residual(adds);
        }
        if let Some(pre_activation) = work.pre_activation {
            asked = asked.pre_activation(pre_activation);
        }
        let descriptor = self.norm.descriptor();
        let reduces = matches!(work.op, Op::Backward { reduce: true, .. });
        let [weight, bias] = &self.gradients;
        if reduces && descriptor.weight {
            asked = asked.weight_gradient(whole(weight));
        }
        if reduces && descriptor.bias {
            asked = asked.bias_gradient(whole(bias));
        }
        let step = self.norm.prepare_backward(forward, asked)?;
        if is_same(step.plan().work(), work) { Ok(step) } else { Err(other(work)) }
    }
}

/// Which of x, y, z, dy, dx and dz there are.
fn tensors(work: Work, last: Work) -> [bool; 6] {
    let backward = last.op.is_backward();
    let gives_dx = matches!(last.op, Op::Backward { apply: true, .. });
    [true, true, work.epilogue.residual, backward, gives_dx, last.gives_residual_gradient().is_some()]
}

/// Whether both are the same to a plan. A layer that tracks nothing has nothing to update.
fn is_same(a: Work, b: Work) -> bool {
    let op = |work: Work| match work.op {
        Op::Training { .. } => Op::Training { update_running: false },
        op => op,
    };
    let found = |work: Work| (work.finds_by(), work.gives_residual_gradient());
    let rest = |work: Work| {
        let bare = Work { pre_activation: None, residual_gradient: None, op: op(work), ..work };
        if work.op.is_backward() { bare.separate_vectors(false) } else { bare }
    };
    found(a) == found(b) && rest(a) == rest(b)
}

fn other(work: Work) -> TuneError {
    TuneError::Work { given: format!("{work:?}") }
}

/// A layer like another, with the initial state. Where vectors are bound each by itself, so are these.
fn scratch_layer(
    context: &Context,
    descriptor: &BatchNormDescriptor<'static>,
    queue: &wgpu::Queue,
    separate: bool,
) -> Result<BatchNorm, TuneError> {
    if !separate {
        return Ok(BatchNorm::new(context, descriptor)?);
    }
    let stride = vector_stride(descriptor.features) * 4;
    let vector = |value: f32| filled(context.device(), queue, stride, &[value.to_bits()]);
    let [one, zero, mean, variance, batches] = [1.0, 0.0, 0.0, 1.0, 0.0].map(vector);
    let whole = wgpu::Buffer::as_entire_buffer_binding;
    let mut buffers = LayerBuffers::new();
    if descriptor.weight {
        buffers = buffers.weight(whole(&one));
    }
    if descriptor.bias {
        buffers = buffers.bias(whole(&zero));
    }
    if descriptor.track_running_stats {
        buffers = buffers.running_mean(whole(&mean)).running_var(whole(&variance));
        buffers = buffers.num_batches_tracked(whole(&batches));
    }
    Ok(BatchNorm::with_buffers(context, descriptor, buffers)?)
}
