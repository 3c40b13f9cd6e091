//! The layer on the device, with all its works prepared on the same tensors.

use testkit::bench::shapes::{Case, Work};
use testkit::gpu::whole;
use testkit::layer::descriptor;
use testkit::prepare::{self, Choices, Gradients};
use testkit::stored;
use wgpu_batchnorm::wgpu;
use wgpu_batchnorm::{BackwardStep, BatchNorm, Context, ForwardStep, Plan, PlanRequest, Shape, StorageType};

use crate::device::Device;

/// Tensors on the device and the works on them.
struct Set {
    x: wgpu::Buffer,
    y: wgpu::Buffer,
    training: ForwardStep,
    evaluation: ForwardStep,
    backward: BackwardStep,
}

/// A layer and its sets of tensors, all of the same values.
pub struct Layer {
    sets: Vec<Set>,
}

impl Layer {
    pub fn new(
        device: &Device,
        context: &Context,
        case: &Case,
        storage: StorageType,
        x: &[f32],
        dy: &[f32],
    ) -> Self {
        let norm = BatchNorm::new(context, &descriptor(Shape::from(case).features()));
        let norm = norm.expect("the layer's state fits any device");
        let sets = device.sets(4 * Shape::from(case).bytes_of(storage));
        let sets = (0..sets).map(|_| Set::new(device, &norm, case, storage, [x, dy])).collect();
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
        storage: StorageType,
        [x, dy]: [&[f32]; 2],
    ) -> Self {
        let gpu = &device.gpu;
        let words = (Shape::from(case).bytes_of(storage) / 4) as usize;
        let upload = |values: &[f32]| {
            let bits: Vec<u32> = values.iter().map(|&value| stored::encode(storage, value)).collect();
            let buffer = gpu.empty(words);
            gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&stored::words(storage, &bits, 0)));
            buffer
        };
        let (x, y) = (upload(x), gpu.empty(words));
        let (dy, dx) = (upload(dy), gpu.empty(words));
        let gradient = || gpu.empty(case.features());
        let (dweight, dbias) = (gradient(), gradient());
        let (shape, plan) = (Shape::from(case), PlanRequest::default());
        let choices = Choices { storage, ..plan.into() };
        let training = prepare::training(norm, shape, whole(&x), whole(&y), choices);
        let evaluation = prepare::evaluation(norm, shape, whole(&x), whole(&y), choices);
        let gradients = Gradients {
            dx: Some(whole(&dx)),
            dweight: Some(whole(&dweight)),
            dbias: Some(whole(&dbias)),
            accumulate: false,
        };
        let backward = prepare::backward(norm, &training, whole(&dy), gradients, plan);
        // The saved statistics that backward alone reads.
        gpu.run(|pass| training.record(pass)).expect("the device was lost");
        Self { x, y, training, evaluation, backward }
    }
}
