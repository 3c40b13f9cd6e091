//! A device of a test's own, with a layer and its steps.

use std::sync::{Arc, Mutex};

use testkit::layer::descriptor;
use testkit::random::{state, tensor};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, Context, ForwardStep, Shape, State, Training, cpu, wgpu,
};

/// Whose handler hears of errors that no scope catches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Handler {
    /// wgpu's, which panics.
    Default,
    /// The program's.
    Own,
}

pub const HANDLERS: [Handler; 2] = [Handler::Default, Handler::Own];

/// What the program's handler heard.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn of(device: &wgpu::Device, handler: Handler) -> Self {
        let heard = Self::default();
        if handler == Handler::Own {
            let to = heard.0.clone();
            device.on_uncaptured_error(Arc::new(move |error| to.lock().unwrap().push(error.to_string())));
        }
        heard
    }

    /// What was heard since this was last called.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub const SHAPE: Shape = Shape::rows(40, 8);

/// A device with a layer, its tensors, a training step and its backward.
pub struct Rig {
    pub gpu: Gpu,
    pub heard: Heard,
    pub norm: BatchNorm,
    pub forward: ForwardStep,
    pub backward: BackwardStep,
    /// x, y, dy, dx.
    pub tensors: [wgpu::Buffer; 4],
}

impl Rig {
    pub fn new(handler: Handler) -> Self {
        Self::on(Gpu::new().unwrap(), handler)
    }

    pub fn on(gpu: Gpu, handler: Handler) -> Self {
        let heard = Heard::of(&gpu.device, handler);
        let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(8)).unwrap();
        norm.set_state(&gpu.queue, &before()).unwrap();
        let [x, dy] = [2, 3].map(|seed| gpu.upload(&tensor(SHAPE, seed)));
        let [y, dx] = std::array::from_fn(|_| gpu.empty(SHAPE.elements() as usize));
        let tensors = [x, y, dy, dx];
        let [x, y, dy, dx] = whole(&tensors);
        let forward = norm.prepare_training(SHAPE, Training::new(x, y)).unwrap();
        let backward = norm.prepare_backward(&forward, Backward::of(dy).input_gradient(dx)).unwrap();
        Self { gpu, heard, norm, forward, backward, tensors }
    }

    /// x, y, dy, dx.
    pub fn bindings(&self) -> [wgpu::BufferBinding<'_>; 4] {
        whole(&self.tensors)
    }

    pub fn training(&self) -> Training<'_> {
        let [x, y, ..] = self.bindings();
        Training::new(x, y)
    }

    pub fn state(&self) -> State {
        pollster::block_on(self.norm.read_state(&self.gpu.queue)).unwrap()
    }

    /// The layer's state is what it was made with, and its steps do what they are for. The handler heard nothing.
    #[track_caller]
    pub fn assert_usable(&self) {
        assert_eq!(self.state(), before());
        self.gpu
            .run(|pass| {
                self.forward.record(pass);
                self.backward.record(pass);
            })
            .unwrap();
        let mut layer = cpu::Layer::with_state(&descriptor(8), &before());
        let (x, dy, options) = (tensor(SHAPE, 2), tensor(SHAPE, 3), cpu::Options::default());
        let forward = cpu::train(&x, SHAPE, &mut layer, &options);
        let dx = cpu::backward(&x, &dy, SHAPE, &forward.saved, &options).dx;
        for (buffer, want) in [(&self.tensors[1], forward.y), (&self.tensors[3], dx)] {
            let got = self.gpu.download(buffer).unwrap();
            assert!(got.iter().zip(want).all(|(got, want)| (f64::from(*got) - want).abs() < 1e-5));
        }
        self.norm.set_state(&self.gpu.queue, &before()).unwrap();
        assert_eq!(self.heard.take(), [""; 0]);
    }
}

/// The state of the layer.
pub fn before() -> State {
    state(8, 1)
}

fn whole(tensors: &[wgpu::Buffer; 4]) -> [wgpu::BufferBinding<'_>; 4] {
    tensors.each_ref().map(wgpu::Buffer::as_entire_buffer_binding)
}
