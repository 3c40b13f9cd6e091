//! Steps of a layer to be recorded.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{BackwardStep, BatchNorm, Context, ForwardStep, Path, PlanRequest, Shape};

use crate::gpu::whole;
use crate::layer::descriptor;
use crate::prepare::{self, Gradients};

const SHAPE: Shape = Shape::rows(256, 64);

pub struct Steps {
    pub training: ForwardStep,
    pub evaluation: ForwardStep,
    pub backward: BackwardStep,
}

impl Steps {
    /// In a context of its own: with the pipelines of another layer, wgpu would skip setting them.
    pub fn new(gpu: &Gpu, path: Path) -> Self {
        let [x, y, dy, dx] = std::array::from_fn(|_| gpu.empty(SHAPE.elements() as usize));
        let plan = PlanRequest::new().path(path);
        let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(SHAPE.features()))
            .expect("the layer's state fits any device");
        let training = prepare::training(&norm, SHAPE, whole(&x), whole(&y), plan);
        let dx_alone = Gradients { dx: Some(whole(&dx)), ..Default::default() };
        Self {
            backward: prepare::backward(&norm, &training, whole(&dy), dx_alone, plan),
            evaluation: prepare::evaluation(&norm, SHAPE, whole(&x), whole(&y), PlanRequest::default()),
            training,
        }
    }
}
