//! The layer on the device, with all its works prepared on the same tensors.

use wgpu_batchnorm::wgpu;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Context, Evaluation, EvaluationStep, Plan, Shape,
    Training, TrainingStep,
};

use crate::device::Device;
use crate::shapes::{Case, Work};

/// As the layer takes it.
pub fn shape(Case { axes, last, .. }: &Case) -> Shape {
    match last {
        true => Shape::channels_last(axes[0], &axes[2..], axes[1]),
        false => Shape::channels_first(axes[0], axes[1], &axes[2..]),
    }
}

/// Tensors on the device and the works on them.
struct Set {
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    training: TrainingStep,
    evaluation: EvaluationStep,
    backward: BackwardStep,
}

/// A layer and its sets of tensors, all of the same values.
pub struct Layer {
    sets: Vec<Set>,
}

impl Layer {
    pub fn new(device: &Device, context: &Context, case: &Case, x: &[f32], dy: &[f32]) -> Self {
        let features = shape(case).features();
        let norm = BatchNorm::new(context, &BatchNormDescriptor { features, ..Default::default() });
        let norm = norm.expect("the layer's state fits any device");
        let sets = (0..device.sets(4 * case.bytes()))
            .map(|_| Set::new(device, &norm, case, x, dy).unwrap_or_else(|e| panic!("{}: {e}", case.name)))
            .collect();
        Self { sets }
    }

    pub fn record(&self, work: Work, pass: &mut wgpu::ComputePass<'_>, iteration: u64) {
        let set = &self.sets[iteration as usize % self.sets.len()];
        match work {
            Work::TrainingForward => set.training.record(pass),
            Work::Evaluation => set.evaluation.record(pass),
            Work::Backward => set.backward.record(pass),
            Work::TrainingStep => {
                set.training.record(pass);
                set.backward.record(pass);
            }
        }
    }

    /// How the work is done: one plan, or forward's and backward's.
    pub fn plans(&self, work: Work) -> Vec<&Plan> {
        let Set { training, evaluation, backward, .. } = &self.sets[0];
        match work {
            Work::TrainingForward => vec![training.plan()],
            Work::Evaluation => vec![evaluation.plan()],
            Work::Backward => vec![backward.plan()],
            Work::TrainingStep => vec![training.plan(), backward.plan()],
        }
    }

    /// Pairs of tensors to copy from and to.
    pub fn tensors(&self) -> Vec<(&wgpu::Buffer, &wgpu::Buffer)> {
        self.sets.iter().map(|set| (&set.x, &set.y)).collect()
    }
}

impl Set {
    fn new(
        device: &Device,
        norm: &BatchNorm,
        case: &Case,
        x: &[f32],
        dy: &[f32],
    ) -> Result<Self, wgpu_batchnorm::PrepareError> {
        let gpu = &device.gpu;
        let (x, y) = (gpu.upload(x), gpu.empty(x.len()));
        let (dy, dx) = (gpu.upload(dy), gpu.empty(dy.len()));
        let gradient = || gpu.empty(case.features());
        let (weight_gradient, bias_gradient) = (gradient(), gradient());
        let bound = wgpu::Buffer::as_entire_buffer_binding;
        let training = norm.prepare_training(shape(case), Training::new(bound(&x), bound(&y)))?;
        let evaluation = norm.prepare_evaluation(shape(case), Evaluation::new(bound(&x), bound(&y)))?;
        let backward = Backward {
            input_gradient: Some(bound(&dx)),
            weight_gradient: Some(bound(&weight_gradient)),
            bias_gradient: Some(bound(&bias_gradient)),
            ..Backward::new(bound(&x), bound(&dy))
        };
        let backward = norm.prepare_backward(shape(case), &training, backward)?;
        // The record that backward alone reads.
        gpu.run(|pass| training.record(pass)).expect("the device was lost");
        Ok(Self { x, y, training, evaluation, backward })
    }
}
