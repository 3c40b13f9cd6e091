//! What steps share, and what each has to itself: scratch, saved statistics, a caller's list of steps.

use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer_in, read_state};
use testkit::prepare::{self, Gradients};
use testkit::random::{state, tensor};
use testkit::train::{Trained, train};
use wgpu_batchnorm::wgpu::Buffer;
use wgpu_batchnorm::{BackwardStep, BatchNorm, Context, ForwardStep, Path, PlanRequest, Shape, Step};

/// A layer's steps on the split path, which pass partial statistics through shared scratch.
struct Layer {
    norm: BatchNorm,
    forward: ForwardStep,
    back: BackwardStep,
    /// y, dx, dweight and dbias.
    results: [Buffer; 4],
}

const SEEDS: [u64; 3] = [461, 462, 463];

impl Layer {
    fn new(context: &Context, shape: Shape, splits: u32) -> Self {
        let [x, dy] = [SEEDS[0], SEEDS[1]].map(|seed| gpu().upload(&tensor(shape, seed)));
        let norm = layer_in(context, &descriptor(shape.features()), &state(shape.features(), SEEDS[2]));
        let (len, c) = (shape.elements() as usize, shape.features() as usize);
        let results = [len, len, c, c].map(|len| gpu().empty(len));
        let [y, dx, dweight, dbias] = results.each_ref().map(whole);
        let plan = plan(splits);
        let forward = prepare::training(&norm, shape, whole(&x), y, plan);
        let gradients =
            Gradients { dx: Some(dx), dweight: Some(dweight), dbias: Some(dbias), accumulate: false };
        let back = prepare::backward(&norm, &forward, whole(&dy), gradients, plan);
        Self { norm, forward, back, results }
    }

    fn read(&self) -> Trained {
        let [y, dx, dweight, dbias] = self.results.each_ref().map(values);
        Trained { y, state: read_state(&self.norm), dx, dweight, dbias }
    }
}

fn plan(splits: u32) -> PlanRequest {
    PlanRequest::new().path(Path::Split).splits(splits)
}

/// A small one first, so that the scratch of the others is another buffer.
const WORK: [(Shape, u32); 3] =
    [(Shape::rows(40, 8), 2), (Shape::rows(3000, 8), 300), (Shape::channels_first(6, 5, &[3, 3]), 5)];

fn wanted(context: &Context) -> [Trained; 3] {
    WORK.map(|(shape, splits)| {
        let c = shape.features();
        let norm = layer_in(context, &descriptor(c), &state(c, SEEDS[2]));
        train(&norm, shape, &tensor(shape, SEEDS[0]), &tensor(shape, SEEDS[1]), plan(splits))
    })
}

#[test]
fn steps_of_several_layers_alternate_in_one_pass() {
    let want = wanted(&Context::new(&gpu().device));
    let context = Context::new(&gpu().device);
    // All forwards, then all backwards; in turn; and the backwards in the other order.
    for order in 0..3 {
        let layers = WORK.map(|(shape, splits)| Layer::new(&context, shape, splits));
        gpu()
            .run(|pass| match order {
                0 => {
                    layers.iter().for_each(|layer| layer.forward.record(pass));
                    layers.iter().for_each(|layer| layer.back.record(pass));
                }
                1 => layers.iter().for_each(|layer| {
                    layer.forward.record(pass);
                    layer.back.record(pass);
                }),
                _ => {
                    layers.iter().for_each(|layer| layer.forward.record(pass));
                    layers.iter().rev().for_each(|layer| layer.back.record(pass));
                }
            })
            .unwrap();
        for (i, layer) in layers.iter().enumerate() {
            assert!(layer.read() == want[i], "layer {i}, order {order}");
        }
    }
}

#[test]
fn steps_of_one_layer_alternate() {
    let context = Context::new(&gpu().device);
    let [first, second] = [(Shape::rows(40, 8), 2), (Shape::rows(3000, 8), 300)];
    let alone = [first, second].map(|(shape, splits)| Layer::new(&context, shape, splits));
    let both = [first, second].map(|(shape, splits)| Layer::new(&context, shape, splits));
    for layer in &alone {
        gpu().run(|pass| (0..3).for_each(|_| layer.forward.record(pass))).unwrap();
        gpu().run(|pass| (0..3).for_each(|_| layer.back.record(pass))).unwrap();
    }
    gpu()
        .run(|pass| {
            (0..3).for_each(|_| both.iter().for_each(|layer| layer.forward.record(pass)));
            (0..3).for_each(|_| both.iter().for_each(|layer| layer.back.record(pass)));
        })
        .unwrap();
    for (alone, both) in alone.iter().zip(&both) {
        assert!(alone.read() == both.read());
    }
}

#[test]
fn a_list_of_steps_is_a_network() {
    let context = Context::new(&gpu().device);
    let want = wanted(&context);
    let mut layers = Vec::new();
    let mut steps: Vec<Box<dyn Step>> = Vec::new();
    let mut backs: Vec<Box<dyn Step>> = Vec::new();
    for (shape, splits) in WORK {
        let Layer { norm, forward, back, results } = Layer::new(&context, shape, splits);
        let plans = [forward.plan().clone(), back.plan().clone()];
        steps.push(Box::new(forward));
        backs.push(Box::new(back));
        layers.push((norm, results, plans));
    }
    steps.extend(backs.into_iter().rev());
    gpu().run(|pass| steps.iter().for_each(|step| step.record(pass))).unwrap();
    for (i, (norm, results, plans)) in layers.iter().enumerate() {
        let [y, dx, dweight, dbias] = results.each_ref().map(values);
        assert!(Trained { y, state: read_state(norm), dx, dweight, dbias } == want[i], "layer {i}");
        assert_eq!([steps[i].plan(), steps[5 - i].plan()], plans.each_ref());
    }
}
