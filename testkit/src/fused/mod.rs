//! A step with an epilogue and its backward, run once and held against the CPU twin.

mod ask;

use wgpu_batchnorm::wgpu::{Buffer, BufferBinding};
use wgpu_batchnorm::{
    Activation, Backward, BackwardStep, BatchNorm, Context, Evaluation, ForwardStep, PrepareError,
    Statistics, Training, cpu,
};

use crate::close::{assert_close, assert_stored, max_abs};
use crate::gpu::{context, download, gpu, part, values, whole};
use crate::layer::{descriptor, layer_in};
use crate::layout::feature_of;
use crate::plans::without_path;
use crate::random::{state, tensor};
use crate::scales::{BACKWARD, FORWARD, Pass};
use crate::storage::{decode, encode, rounded};
use crate::stored::upload;

pub use ask::{ACTIVATIONS, ALL, Ask, CUSTOM, Mode, PLACEMENTS, Placement, Wanted, twin};

/// What was there where something is added to.
const BEFORE: f32 = 0.75;

/// Tensors of a step: each in a buffer of its own, or all in one.
struct Tensors {
    buffers: Vec<Buffer>,
    size: u64,
}

const X: usize = 0;
const Y: usize = 1;
const Z: usize = 2;
const DY: usize = 3;
const DX: usize = 4;
const DZ: usize = 5;

impl Tensors {
    fn new(ask: &Ask, tensors: [&[f32]; 6]) -> Self {
        let words = ask.shape.bytes_of(ask.storage).div_ceil(4) as usize;
        let size = (words as u64 * 4).next_multiple_of(256);
        let buffers: Vec<Buffer> = match ask.placement {
            Placement::SameBuffer => vec![gpu().empty(size as usize / 4 * 6)],
            _ => tensors.iter().map(|_| gpu().empty(words)).collect(),
        };
        let all = Self { buffers, size };
        for (k, tensor) in tensors.iter().enumerate() {
            let BufferBinding { buffer, offset, .. } = all.at(k);
            let mut bytes = encode(tensor, ask.storage);
            bytes.resize(4 * words, 0);
            gpu().queue.write_buffer(buffer, offset, &bytes);
        }
        all
    }

    fn at(&self, k: usize) -> BufferBinding<'_> {
        match self.buffers.len() {
            1 => part(&self.buffers[0], k as u64 * self.size, self.size),
            _ => whole(&self.buffers[k]),
        }
    }

    fn read(&self, k: usize, ask: &Ask) -> Vec<f32> {
        let words: Vec<u32> = download(&gpu().device, &gpu().queue, self.at(k));
        let bytes = (ask.shape.elements() * ask.storage.bytes()) as usize;
        decode(&bytemuck::cast_slice(&words)[..bytes], ask.storage)
    }
}

/// The layer, its tensors, and both steps.
pub struct Fused {
    pub ask: Ask,
    pub norm: BatchNorm,
    pub forward: ForwardStep,
    pub backward: BackwardStep,
    tensors: Tensors,
    copy: Buffer,
    vectors: [Buffer; 2],
    x: Vec<f32>,
    z: Vec<f32>,
    dy: Vec<f32>,
}

/// What came out.
pub struct Got {
    pub y: Vec<f32>,
    pub dx: Vec<f32>,
    pub dz: Vec<f32>,
    pub dweight: Vec<f32>,
    pub dbias: Vec<f32>,
}

fn twin_of(ask: &Ask, x: &[f32], z: &[f32]) -> (cpu::Forward, cpu::Layer) {
    let c = ask.shape.features();
    let mut layer = cpu::Layer::with_state(&descriptor(c), &state(c, 901));
    let options = options(ask, z);
    let forward = match ask.mode {
        Mode::Evaluation => cpu::evaluate(x, ask.shape, &layer, &options),
        _ => cpu::train(x, ask.shape, &mut layer, &options),
    };
    (forward, layer)
}

fn options<'a>(ask: &Ask, z: &'a [f32]) -> cpu::Options<'a> {
    let statistics = if ask.mode == Mode::Training { Statistics::Batch } else { Statistics::Running };
    let options = cpu::Options::default().statistics(statistics).activation(twin(ask.activation));
    if ask.residual { options.residual(z) } else { options }
}

/// dy, and 0 where the activation is given next to nothing: there rounding may decide of a derivative.
fn dy_of(ask: &Ask, x: &[f32], z: &[f32]) -> Vec<f32> {
    let mut dy = tensor(ask.shape, 904);
    let before = Ask { activation: Activation::Identity, ..*ask };
    let (cpu::Forward { y, .. }, _) = twin_of(&before, x, z);
    let near = 2e-6 * max_abs(&y);
    for (dy, v) in dy.iter_mut().zip(y) {
        *dy = if v.abs() < near { 0.0 } else { *dy };
    }
    dy
}

impl Fused {
    #[track_caller]
    pub fn new(ask: Ask) -> Self {
        Self::new_in(context(), ask).unwrap_or_else(|error| panic!("{ask:?}: {error}"))
    }

    pub fn new_in(context: &Context, ask: Ask) -> Result<Self, PrepareError> {
        let [x, z] = [902, 903].map(|seed| rounded(&tensor(ask.shape, seed), ask.storage));
        let dy = rounded(&dy_of(&ask, &x, &z), ask.storage);
        Self::of(context, ask, [x, z, dy])
    }

    /// Of these x, z and dy.
    pub fn of(context: &Context, ask: Ask, [x, z, dy]: [Vec<f32>; 3]) -> Result<Self, PrepareError> {
        let c = ask.shape.features();
        let norm = layer_in(context, &descriptor(c), &state(c, 901));
        let unwritten = vec![BEFORE; x.len()];
        let all = [&x, &unwritten, &z, &dy, &unwritten, &unwritten].map(Vec::as_slice);
        let tensors = Tensors::new(&ask, all);
        let copy = upload(ask.storage, if ask.placement == Placement::InPlace { &x } else { &z });
        let vectors = std::array::from_fn(|_| gpu().upload(&vec![BEFORE; c as usize]));
        let forward = match ask.mode {
            Mode::Evaluation => norm.prepare_evaluation(ask.shape, evaluation(&ask, &tensors))?,
            _ => norm.prepare_training(ask.shape, training(&ask, &tensors))?,
        };
        let backward = norm.prepare_backward(&forward, backward(&ask, &tensors, &copy, &vectors))?;
        Ok(Self { ask, norm, forward, backward, tensors, copy, vectors, x, z, dy })
    }

    /// x, z and dy.
    pub fn inputs(&self) -> (&[f32], &[f32], &[f32]) {
        (&self.x, &self.z, &self.dy)
    }

    /// The same steps on other buffers with the same values.
    pub fn rebind(&mut self) {
        let unwritten = vec![BEFORE; self.x.len()];
        let all = [&self.x, &unwritten, &self.z, &self.dy, &unwritten, &unwritten].map(Vec::as_slice);
        let other = Tensors::new(&self.ask, all);
        match self.ask.mode {
            Mode::Evaluation => self.forward.rebind(&self.norm, evaluation(&self.ask, &other)),
            _ => self.forward.rebind(&self.norm, training(&self.ask, &other)),
        }
        .unwrap();
        let request = backward(&self.ask, &other, &self.copy, &self.vectors);
        self.backward.rebind(&self.norm, &self.forward, request).unwrap();
        self.tensors = other;
    }

    pub fn run(&self) -> Got {
        gpu()
            .run(|pass| {
                self.forward.record(pass);
                self.backward.record(pass);
            })
            .unwrap();
        let Ask { placement, .. } = self.ask;
        let read = |k: usize| self.tensors.read(k, &self.ask);
        let [dweight, dbias] = self.vectors.each_ref().map(values);
        Got {
            y: read([Y, Y, X, Z][placement as usize]),
            dx: read([DX, DX, DY, DX][placement as usize]),
            dz: read([DZ, DZ, DZ, DY][placement as usize]),
            dweight,
            dbias,
        }
    }

    /// Runs both steps and holds everything against the twin: 5e-7 of max|y|, 1e-6 of max|dx|, and of the sums' sizes.
    #[track_caller]
    pub fn check(&self) {
        let Self { ask, x, z, dy, .. } = self;
        let what = format!("{ask:?}, {}, {}", self.forward.plan(), self.backward.plan());
        let got = self.run();
        let (forward, _) = twin_of(ask, x, z);
        let largest = max_abs(&forward.y);
        let storage = ask.storage;
        assert_stored(&format!("{what}: y"), storage, &got.y, &forward.y, |_| largest, FORWARD);

        let cpu::Gradients { dx, dz, sums } =
            cpu::backward(x, dy, ask.shape, &forward.saved, &options(ask, z));
        let scales = Pass::of(x, ask.shape, &forward.saved).gradients(&dz);
        let before = if ask.accumulate { f64::from(BEFORE) } else { 0.0 };
        let (largest_dx, largest_dz) = (max_abs(&dx), max_abs(&dz) + before);
        if ask.wanted.dx {
            let scale = |i: usize| scales.dx[feature_of(ask.shape, i)].min(largest_dx);
            assert_stored(&format!("{what}: dx"), storage, &got.dx, &dx, scale, BACKWARD);
        }
        if ask.wanted.dz {
            let dz: Vec<f64> = dz.iter().map(|dz| before + dz).collect();
            assert_stored(&format!("{what}: dz"), storage, &got.dz, &dz, |_| largest_dz, BACKWARD);
        }
        if ask.wanted.learns {
            let (dbias, dweight): (Vec<f64>, Vec<f64>) =
                sums.iter().map(|s| (before + s.dy, before + s.dy_xhat)).unzip();
            let name = format!("{what}: dweight");
            assert_close(&name, &got.dweight, &dweight, |c| scales.dweight[c] + before, BACKWARD);
            assert_close(
                &format!("{what}: dbias"),
                &got.dbias,
                &dbias,
                |c| scales.dbias[c] + before,
                BACKWARD,
            );
        }
    }
}

fn training<'a>(ask: &Ask, tensors: &'a Tensors) -> Training<'a> {
    let output = [Y, Y, X, Z][ask.placement as usize];
    let statistics = if ask.mode == Mode::Training { Statistics::Batch } else { Statistics::Running };
    let training = Training::new(tensors.at(X), tensors.at(output));
    let training =
        training.statistics(statistics).activation(ask.activation).storage(ask.storage).plan(ask.plan);
    if ask.residual { training.residual(tensors.at(Z)) } else { training }
}

fn evaluation<'a>(ask: &Ask, tensors: &'a Tensors) -> Evaluation<'a> {
    let output = [Y, Y, X, Z][ask.placement as usize];
    let evaluation = Evaluation::new(tensors.at(X), tensors.at(output));
    let evaluation = evaluation.activation(ask.activation).storage(ask.storage).plan(without_path(ask.plan));
    if ask.residual { evaluation.residual(tensors.at(Z)) } else { evaluation }
}

fn backward<'a>(ask: &Ask, tensors: &'a Tensors, copy: &'a Buffer, vectors: &'a [Buffer; 2]) -> Backward<'a> {
    let Wanted { dx, dz, learns } = ask.wanted;
    let mut backward = Backward::of(tensors.at(DY)).accumulate(ask.accumulate);
    backward = match ask.placement {
        Placement::InPlace => backward.input(whole(copy)),
        Placement::ResidualInPlace => backward.residual(whole(copy)),
        _ => backward,
    };
    if let Some(by) = ask.by {
        backward = backward.pre_activation(by);
    }
    if dx {
        backward = backward.input_gradient(tensors.at([DX, DX, DY, DX][ask.placement as usize]));
    }
    if dz {
        let gradient = tensors.at([DZ, DZ, DZ, DY][ask.placement as usize]);
        backward = backward.residual_gradient(gradient).accumulate_residual(ask.accumulate);
    }
    if learns {
        backward = backward.weight_gradient(whole(&vectors[0])).bias_gradient(whole(&vectors[1]));
    }
    let reduces = learns || (dx && ask.mode == Mode::Training);
    let applies = dx || dz;
    backward.plan(if reduces && applies { ask.plan } else { without_path(ask.plan) })
}
