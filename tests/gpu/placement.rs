//! Where tensors lie: at offsets of a larger buffer, in place, in one arena with all others.

use testkit::gpu::{gpu, part, values, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::plans::{elementwise, turns};
use testkit::prepare::{self, Choices, Gradients};
use testkit::random::{state, tensor};
use testkit::train::{evaluate, train};
use wgpu_batchnorm::{Backward, Shape, wgpu};

fn shapes() -> [Shape; 4] {
    [
        Shape::rows(33, 16),
        Shape::rows(33, 7),
        Shape::channels_first(5, 6, &[4, 4]),
        Shape::channels_first(5, 6, &[7, 7]),
    ]
}

/// A buffer of several tensors, each 256 bytes aligned, with a margin of a known value around them.
pub struct Arena {
    pub buffer: wgpu::Buffer,
    ranges: Vec<(u64, u64)>,
}

pub const MARGIN: f32 = -77.25;

impl Arena {
    pub fn new(tensors: &[&[f32]]) -> Self {
        let mut values = vec![MARGIN; 64];
        let mut ranges = Vec::new();
        for tensor in tensors {
            ranges.push((values.len() as u64 * 4, tensor.len() as u64 * 4));
            values.extend_from_slice(tensor);
            values.resize(values.len().next_multiple_of(64) + 64, MARGIN);
        }
        Self { buffer: gpu().upload(&values), ranges }
    }

    pub fn binding(&self, k: usize) -> wgpu::BufferBinding<'_> {
        let (offset, size) = self.ranges[k];
        part(&self.buffer, offset, size)
    }

    /// The tensors, after a look at the margins.
    pub fn read(&self) -> Vec<Vec<f32>> {
        let values = values(&self.buffer);
        let mut expected_margin = 0;
        let mut tensors = Vec::new();
        for &(offset, size) in &self.ranges {
            let (begin, end) = ((offset / 4) as usize, ((offset + size) / 4) as usize);
            assert!(values[expected_margin..begin].iter().all(|v| *v == MARGIN), "margin before {begin}");
            tensors.push(values[begin..end].to_vec());
            expected_margin = end;
        }
        assert!(values[expected_margin..].iter().all(|v| *v == MARGIN), "last margin");
        tensors
    }
}

#[test]
fn everything_in_one_arena_gives_the_same_bits() {
    for shape in shapes() {
        let c = shape.features();
        let (x, dy, before) = (tensor(shape, 41), tensor(shape, 42), state(c, 43));
        let (zero, zeros) = (vec![0.0; x.len()], vec![0.0; c as usize]);
        for plan in turns(shape) {
            let want = train(&layer(&descriptor(c), &before), shape, &x, &dy, plan);
            let norm = layer(&descriptor(c), &before);
            let arena = Arena::new(&[&x, &zero, &dy, &zero, &zeros, &zeros]);
            let at = |k| arena.binding(k);
            let step = prepare::training(&norm, shape, at(0), at(1), plan);
            let gradients =
                Gradients { dx: Some(at(3)), dweight: Some(at(4)), dbias: Some(at(5)), accumulate: false };
            let back = prepare::backward(&norm, &step, at(2), gradients, plan);
            gpu()
                .run(|pass| {
                    step.record(pass);
                    back.record(pass);
                })
                .unwrap();
            let got = arena.read();
            let want = [x.clone(), want.y, dy.clone(), want.dx, want.dweight, want.dbias];
            assert!(got == want, "{shape}, [{plan}]");
        }
    }
}

#[test]
fn in_place_gives_the_same_bits() {
    for shape in shapes() {
        let c = shape.features();
        let (x, dy, before) = (tensor(shape, 44), tensor(shape, 45), state(c, 46));
        for plan in turns(shape) {
            let want = train(&layer(&descriptor(c), &before), shape, &x, &dy, plan);
            let norm = layer(&descriptor(c), &before);

            let arena = Arena::new(&[&x]);
            let step = prepare::training(&norm, shape, arena.binding(0), arena.binding(0), plan);
            gpu().run(|pass| step.record(pass)).unwrap();
            assert!(arena.read()[0] == want.y, "training of {shape}, [{plan}]");
            assert_eq!(read_state(&norm), want.state);

            // dx takes the place of dy, with x kept elsewhere: in a buffer of its own, and in dy's buffer.
            for x_in_arena in [false, true] {
                let (input, output) = (gpu().upload(&x), gpu().empty(x.len()));
                let arena = Arena::new(&[&dy, &x]);
                let input = if x_in_arena { arena.binding(1) } else { whole(&input) };
                let choices = Choices { update_running: false, ..plan.into() };
                let step = prepare::training(&norm, shape, input, whole(&output), choices);
                let dx_alone = Gradients { dx: Some(arena.binding(0)), ..Default::default() };
                let back = prepare::backward(&norm, &step, arena.binding(0), dx_alone, plan);
                gpu()
                    .run(|pass| {
                        step.record(pass);
                        back.record(pass);
                    })
                    .unwrap();
                assert!(arena.read() == [want.dx.clone(), x.clone()], "backward of {shape}, [{plan}]");
            }

            // The backward of a step in place reads a copy of x.
            let (tensor, copy) = (gpu().upload(&x), gpu().upload(&x));
            let choices = Choices { update_running: false, ..plan.into() };
            let step = prepare::training(&norm, shape, whole(&tensor), whole(&tensor), choices);
            let (dy, dx) = (gpu().upload(&dy), gpu().empty(x.len()));
            let backward = Backward::of(whole(&dy)).input(whole(&copy)).input_gradient(whole(&dx)).plan(plan);
            let back = norm.prepare_backward(&step, backward).unwrap();
            gpu()
                .run(|pass| {
                    step.record(pass);
                    back.record(pass);
                })
                .unwrap();
            assert!(values(&dx) == want.dx, "backward of {shape} with a copy of x, [{plan}]");
        }
    }
}

#[test]
fn evaluation_in_place_and_in_an_arena_gives_the_same_bits() {
    for shape in shapes() {
        let c = shape.features();
        let (x, before) = (tensor(shape, 47), state(c, 48));
        let norm = layer(&descriptor(c), &cut(&descriptor(c), &before));
        for plan in elementwise(shape) {
            let want = evaluate(&norm, shape, &x, plan);
            let arena = Arena::new(&[&x, &x]);
            let apart = prepare::evaluation(&norm, shape, arena.binding(0), arena.binding(1), plan);
            let in_place = prepare::evaluation(&norm, shape, arena.binding(0), arena.binding(0), plan);
            gpu()
                .run(|pass| {
                    apart.record(pass);
                    in_place.record(pass);
                })
                .unwrap();
            assert!(arena.read() == [want.clone(), want], "{shape}, [{plan}]");
        }
    }
}
