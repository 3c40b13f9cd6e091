//! Every two things that a step binds, in ranges that overlap in every way: refused, or the same bits as in buffers of their
//! own.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use testkit::gpu::{context, download, gpu, part, whole};
use testkit::layer::descriptor;
use wgpu_batchnorm::wgpu::{Buffer, BufferBinding};
use wgpu_batchnorm::{
    Activation, Backward, BatchNorm, LayerBuffers, Mask, PrepareError, Shape, Step, Training,
};

/// A tensor is 8 KiB, a vector 512 bytes.
const SHAPE: Shape = Shape::rows(16, 128);
const TENSOR: u64 = SHAPE.bytes();
const VECTOR: u64 = 4 * 128;
/// Six vectors of 128 values.
const SAVED: u64 = 6 * VECTOR;
/// What every device can bind at a multiple of.
const ALIGNMENT: u64 = 256;

/// What a step binds: a name, bytes, and whether it is written.
type Bound = (&'static str, u64, bool);

/// Prepares a step of what is bound where.
type Prepare = fn(&[BufferBinding<'_>]) -> Result<Box<dyn Step>, PrepareError>;

const OF_TRAINING: [Bound; 11] = [
    ("x", TENSOR, false),
    ("y", TENSOR, true),
    ("z", TENSOR, false),
    ("mask", 4, false),
    ("flag", 4, false),
    ("saved", SAVED, true),
    ("weight", VECTOR, false),
    ("bias", VECTOR, false),
    ("running mean", VECTOR, true),
    ("running variance", VECTOR, true),
    ("batches", VECTOR, true),
];

fn training(at: &[BufferBinding<'_>]) -> Result<Box<dyn Step>, PrepareError> {
    let at = |k: usize| at[k].clone();
    let vectors = LayerBuffers::new()
        .weight(at(6))
        .bias(at(7))
        .running_mean(at(8))
        .running_var(at(9))
        .num_batches_tracked(at(10));
    let norm = BatchNorm::with_buffers(context(), &descriptor(128), vectors).unwrap();
    let training = Training::new(at(0), at(1))
        .activation(Activation::Silu)
        .residual(at(2))
        .mask(Mask::Positions(at(3)))
        .commit(at(4))
        .saved(at(5));
    Ok(Box::new(norm.prepare_training(SHAPE, training)?))
}

const OF_BACKWARD: [Bound; 9] = [
    ("dy", TENSOR, false),
    ("x", TENSOR, false),
    ("z", TENSOR, false),
    ("mask", 4, false),
    ("saved", SAVED, false),
    ("dx", TENSOR, true),
    ("dz", TENSOR, true),
    ("dweight", VECTOR, true),
    ("dbias", VECTOR, true),
];

fn backward(at: &[BufferBinding<'_>]) -> Result<Box<dyn Step>, PrepareError> {
    let at = |k: usize| at[k].clone();
    let norm = BatchNorm::new(context(), &descriptor(128)).unwrap();
    let tensors = [TENSOR, TENSOR, TENSOR, 4].map(|bytes| gpu().empty(bytes as usize / 4));
    let [x, y, z, mask] = tensors.each_ref().map(whole);
    let training = Training::new(x, y).activation(Activation::Silu).residual(z).mask(Mask::Positions(mask));
    let forward = norm.prepare_training(SHAPE, training)?;
    let backward = Backward::of(at(0))
        .input(at(1))
        .residual(at(2))
        .mask(Mask::Positions(at(3)))
        .saved(at(4))
        .input_gradient(at(5))
        .residual_gradient(at(6))
        .weight_gradient(at(7))
        .bias_gradient(at(8));
    Ok(Box::new(norm.prepare_backward(&forward, backward)?))
}

/// Numbers that are no NaN, whatever they are taken for.
fn contents(bytes: u64, seed: usize) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed as u64);
    (0..bytes / 4).map(|_| rng.random_range(0.5..1.5)).collect()
}

/// Everything in buffers of its own, but for two, which share one: the first at an offset, the second at another.
struct Placed {
    buffers: Vec<Buffer>,
    /// The buffer, offset and bytes of each.
    at: Vec<(usize, u64, u64)>,
}

impl Placed {
    /// `pair` are two things bound, with their offsets in what they share.
    fn new(bound: &[Bound], pair: [(usize, u64); 2]) -> Self {
        let shared = pair.map(|(k, offset)| offset + bound[k].1).into_iter().max().expect("two");
        let contents_of = |k: usize| contents(bound[k].1, k);
        let mut buffers: Vec<Buffer> = (0..bound.len()).map(|k| gpu().upload(&contents_of(k))).collect();
        buffers.push(gpu().upload(&contents(shared, 99)));
        let mut at: Vec<_> = bound.iter().enumerate().map(|(k, (_, bytes, _))| (k, 0, *bytes)).collect();
        for (k, offset) in pair {
            at[k] = (bound.len(), offset, bound[k].1);
        }
        Self { buffers, at }
    }

    /// The same contents, with each in a buffer of its own.
    fn apart(&self) -> Self {
        let copy = |&(buffer, offset, bytes): &(usize, u64, u64)| {
            let words: Vec<f32> = download(&gpu().device, &gpu().queue, self.part(buffer, offset, bytes));
            gpu().upload(&words)
        };
        let buffers = self.at.iter().map(copy).collect();
        let at = self.at.iter().enumerate().map(|(k, (.., bytes))| (k, 0, *bytes)).collect();
        Self { buffers, at }
    }

    fn part(&self, buffer: usize, offset: u64, bytes: u64) -> BufferBinding<'_> {
        part(&self.buffers[buffer], offset, bytes)
    }

    fn bindings(&self) -> Vec<BufferBinding<'_>> {
        self.at.iter().map(|&(buffer, offset, bytes)| self.part(buffer, offset, bytes)).collect()
    }

    fn words(&self, k: usize) -> Vec<u32> {
        download(&gpu().device, &gpu().queue, self.bindings()[k].clone())
    }
}

/// Offsets of two that overlap: at the same place, and each within the other.
fn overlaps(first: u64, second: u64) -> Vec<[u64; 2]> {
    let mut all = vec![[0, 0]];
    all.extend((first > ALIGNMENT).then_some([0, ALIGNMENT]));
    all.extend((second > ALIGNMENT).then_some([ALIGNMENT, 0]));
    all
}

/// How many pairs of ranges are refused, and how many are right.
fn check(bound: &[Bound], prepare: Prepare) -> [usize; 2] {
    let mut counted = [0, 0];
    let pairs = (0..bound.len()).flat_map(|a| (0..a).map(move |b| (b, a)));
    for (a, b) in pairs {
        for [first, second] in overlaps(bound[a].1, bound[b].1) {
            let what = format!("{} at {first}, {} at {second}", bound[a].0, bound[b].0);
            let placed = Placed::new(bound, [(a, first), (b, second)]);
            let apart = placed.apart();
            let steps = [prepare(&placed.bindings()), prepare(&apart.bindings())];
            let [together, alone] = match steps {
                [Err(PrepareError::Binding(_) | PrepareError::ForwardsTensor { .. }), Ok(_)] => {
                    counted[0] += 1;
                    continue;
                }
                [together, alone] => {
                    [together, alone].map(|step| step.unwrap_or_else(|e| panic!("{what}: {e}")))
                }
            };
            gpu().run(|pass| together.record(pass)).unwrap();
            gpu().run(|pass| alone.record(pass)).unwrap();
            for (k, (name, ..)) in bound.iter().enumerate().filter(|(_, (.., written))| *written) {
                assert!(placed.words(k) == apart.words(k), "{what}: {name}");
            }
            counted[1] += 1;
        }
    }
    counted
}

#[test]
fn of_training() {
    let [refused, right] = check(&OF_TRAINING, training);
    assert!(refused > 100 && right > 10, "{refused} refused, {right} right");
}

#[test]
fn of_backward() {
    let [refused, right] = check(&OF_BACKWARD, backward);
    assert!(refused > 50 && right > 10, "{refused} refused, {right} right");
}
