//! Steps of a layer to be recorded.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, Context, Evaluation, EvaluationStep, Path,
    PlanRequest, Shape, Training, TrainingStep, wgpu,
};

const FEATURES: u32 = 64;
const SHAPE: Shape = Shape::rows(256, FEATURES);

pub struct Steps {
    pub training: TrainingStep,
    pub evaluation: EvaluationStep,
    pub backward: BackwardStep,
}

impl Steps {
    /// In a context of its own: with the pipelines of another layer, wgpu would skip setting them.
    pub fn new(gpu: &Gpu, path: Path) -> Self {
        let [x, y, dy, dx] = std::array::from_fn(|_| gpu.empty(SHAPE.elements() as usize));
        let whole = wgpu::Buffer::as_entire_buffer_binding;
        let plan = PlanRequest { path: Some(path), ..Default::default() };
        let descriptor = BatchNormDescriptor { features: FEATURES, ..Default::default() };
        let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor)
            .expect("the layer's state fits any device");
        let training = norm.prepare_training(SHAPE, Training { plan, ..Training::new(whole(&x), whole(&y)) });
        let training = training.expect("every device takes either path");
        let backward =
            Backward { input_gradient: Some(whole(&dx)), plan, ..Backward::new(whole(&x), whole(&dy)) };
        let evaluation = norm.prepare_evaluation(SHAPE, Evaluation::new(whole(&x), whole(&y)));
        Self {
            backward: norm.prepare_backward(SHAPE, &training, backward).expect("as training"),
            evaluation: evaluation.expect("as training"),
            training,
        }
    }
}
