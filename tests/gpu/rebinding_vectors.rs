//! Layers whose vectors move from buffer to buffer, as a framework's do, and backwards of earlier runs of a step.

use testkit::gpu::{gpu, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::plans::paths;
use testkit::prepare;
use testkit::random::{state, tensor};
use testkit::train::{Trained, train};
use wgpu_batchnorm::wgpu::Buffer;
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BatchNormDescriptor, BindingError, DescriptorError, ForwardStep,
    LayerBuffers, PlanRequest, PrepareError, Shape, State, Tensor, Training,
};

use crate::placement::{Arena, MARGIN};

const FEATURES: u32 = 8;

fn shapes() -> [Shape; 2] {
    [Shape::rows(40, FEATURES), Shape::channels_first(5, FEATURES, &[4, 4])]
}

/// What a framework has for a run of a step: five vectors, x, y, dy, dx, dweight, dbias and saved statistics, side by side.
fn run_of(state: &State, [x, dy]: [&[f32]; 2], saved_bytes: u64) -> Arena {
    let counts = vec![f32::from_bits(state.num_batches_tracked as u32); state.weight.len()];
    let (zero, vector) = (vec![0.0; x.len()], vec![0.0; counts.len()]);
    let saved = vec![0.0; saved_bytes as usize / 4];
    let State { weight, bias, running_mean, running_var, .. } = state;
    let vectors: [&[f32]; 5] = [weight, bias, running_mean, running_var, &counts];
    let tensors: [&[f32]; 7] = [x, &zero, dy, &zero, &vector, &vector, &saved];
    Arena::new(&[&vectors[..], &tensors].concat())
}

fn vectors(run: &Arena) -> LayerBuffers<'_> {
    LayerBuffers::new()
        .weight(run.binding(0))
        .bias(run.binding(1))
        .running_mean(run.binding(2))
        .running_var(run.binding(3))
        .num_batches_tracked(run.binding(4))
}

fn training(run: &Arena) -> Training<'_> {
    Training::new(run.binding(5), run.binding(6)).saved(run.binding(11))
}

fn backward(run: &Arena) -> Backward<'_> {
    Backward::of(run.binding(7))
        .input_gradient(run.binding(8))
        .weight_gradient(run.binding(9))
        .bias_gradient(run.binding(10))
}

/// A layer and its steps, prepared on a run of values that are of no use.
struct Steps {
    norm: BatchNorm,
    first: Arena,
    step: ForwardStep,
    back: BackwardStep,
}

impl Steps {
    fn new(shape: Shape, plan: PlanRequest) -> Self {
        let unused = vec![MARGIN; shape.elements() as usize];
        let vector = vec![MARGIN; FEATURES as usize];
        let saved_bytes = layer(&descriptor(FEATURES), &state(FEATURES, 451)).saved_bytes();
        let nothing = State {
            weight: vector.clone(),
            bias: vector.clone(),
            running_mean: vector.clone(),
            running_var: vector,
            num_batches_tracked: 0,
        };
        let first = run_of(&nothing, [&unused, &unused], saved_bytes);
        let context = testkit::gpu::context();
        let norm = BatchNorm::with_buffers(context, &descriptor(FEATURES), vectors(&first)).unwrap();
        let step = norm.prepare_training(shape, training(&first).plan(plan)).unwrap();
        let back = norm.prepare_backward(&step, backward(&first).plan(plan)).unwrap();
        Self { norm, first, step, back }
    }

    fn forward(&mut self, run: &Arena) {
        self.norm.rebind(vectors(run)).unwrap();
        self.step.rebind(&self.norm, training(run)).unwrap();
        gpu().run(|pass| self.step.record(pass)).unwrap();
    }

    fn backward(&mut self, backward: Backward<'_>) {
        self.back.rebind(&self.norm, &self.step, backward).unwrap();
        gpu().run(|pass| self.back.record(pass)).unwrap();
    }
}

#[track_caller]
fn assert_run(run: &Arena, norm: &BatchNorm, want: &Trained, what: &str) {
    let got = run.read();
    let Trained { y, dx, dweight, dbias, state } = want;
    assert_eq!(read_state(norm), *state, "{what}");
    assert!(got[6] == *y && got[8] == *dx && got[9] == *dweight && got[10] == *dbias, "{what}");
}

#[test]
fn vectors_and_saved_statistics_move_with_the_tensors() {
    for shape in shapes() {
        for plan in paths() {
            let mut steps = Steps::new(shape, plan);
            let untouched = steps.first.read();
            for seed in [452, 455] {
                let (x, dy) = (tensor(shape, seed), tensor(shape, seed + 1));
                let before = State { num_batches_tracked: 6, ..state(FEATURES, seed + 2) };
                let want = train(&layer(&descriptor(FEATURES), &before), shape, &x, &dy, plan);
                let run = run_of(&before, [&x, &dy], steps.norm.saved_bytes());
                steps.forward(&run);
                steps.backward(backward(&run));
                assert_run(&run, &steps.norm, &want, &format!("{shape}, [{plan}]"));
            }
            assert!(steps.first.read() == untouched, "{shape}, [{plan}]");
        }
    }
}

#[test]
fn a_backward_of_an_earlier_run() {
    for shape in shapes() {
        for plan in paths() {
            let mut steps = Steps::new(shape, plan);
            let runs = [461, 464].map(|seed| {
                let (x, dy, before) =
                    (tensor(shape, seed), tensor(shape, seed + 1), state(FEATURES, seed + 2));
                let want = train(&layer(&descriptor(FEATURES), &before), shape, &x, &dy, plan);
                let run = run_of(&before, [&x, &dy], steps.norm.saved_bytes());
                steps.forward(&run);
                (run, want)
            });
            for (run, want) in &runs {
                steps.backward(backward(run).input(run.binding(5)).saved(run.binding(11)));
                let got = run.read();
                let Trained { dx, dweight, dbias, .. } = want;
                assert!(got[8] == *dx && got[9] == *dweight && got[10] == *dbias, "{shape}, [{plan}]");
            }
        }
    }
}

/// The tensors of an earlier run may lie where the step has others by now.
#[test]
fn gradients_may_lie_where_the_step_is_bound() {
    let (shape, plan) = (shapes()[1], paths()[0]);
    let (x, dy, before) = (tensor(shape, 471), tensor(shape, 472), state(FEATURES, 473));
    let want = train(&layer(&descriptor(FEATURES), &before), shape, &x, &dy, plan);
    let mut steps = Steps::new(shape, plan);
    let run = run_of(&before, [&x, &dy], steps.norm.saved_bytes());
    steps.forward(&run);
    let later = run_of(&before, [&x, &dy], steps.norm.saved_bytes());
    steps.forward(&later);
    let gradients = Backward::of(run.binding(7))
        .input_gradient(later.binding(6))
        .weight_gradient(later.binding(0))
        .bias_gradient(later.binding(1));
    steps.backward(gradients.input(run.binding(5)).saved(run.binding(11)));
    let got = later.read();
    assert!(got[6] == want.dx && got[0] == want.dweight && got[1] == want.dbias);
}

#[test]
fn a_failure_leaves_layer_and_steps_as_they_were() {
    let (shape, plan) = (shapes()[0], paths()[1]);
    let (x, dy, before) = (tensor(shape, 481), tensor(shape, 482), state(FEATURES, 483));
    let want = train(&layer(&descriptor(FEATURES), &before), shape, &x, &dy, plan);
    let mut steps = Steps::new(shape, plan);
    let run = run_of(&before, [&x, &dy], steps.norm.saved_bytes());
    steps.norm.rebind(vectors(&run)).unwrap();
    steps.step.rebind(&steps.norm, training(&run)).unwrap();

    let (small, large): (Buffer, Buffer) = (gpu().empty(4), gpu().empty(x.len()));
    let both = LayerBuffers::new().weight(whole(&large)).bias(whole(&small));
    let error = steps.norm.rebind(both).unwrap_err();
    let too_small = BindingError::TooSmall { tensor: Tensor::Bias, required: 32, given: 16 };
    assert_eq!(error, DescriptorError::Binding(too_small));
    let error = steps.step.rebind(&steps.norm, training(&run).saved(whole(&small))).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::TooSmall { .. })), "{error}");
    let earlier = backward(&run).saved(run.binding(11));
    let error = steps.back.rebind(&steps.norm, &steps.step, earlier).unwrap_err();
    assert_eq!(error, PrepareError::NotGiven { tensor: Tensor::Input });

    gpu().run(|pass| steps.step.record(pass)).unwrap();
    steps.backward(backward(&run));
    assert_run(&run, &steps.norm, &want, "after failures");
}

#[test]
fn what_is_the_layers_own_stays_there() {
    let other = gpu().empty(FEATURES as usize);
    let mut norm = layer(&descriptor(FEATURES), &state(FEATURES, 491));
    let error = norm.rebind(LayerBuffers::new().bias(whole(&other))).unwrap_err();
    assert_eq!(error, DescriptorError::LayersOwn { tensor: Tensor::Bias });
    assert!(error.to_string().contains("with_buffers"), "{error}");
    let without = BatchNormDescriptor { weight: false, ..descriptor(FEATURES) };
    let mut without = BatchNorm::new(testkit::gpu::context(), &without).unwrap();
    let error = without.rebind(LayerBuffers::new().weight(whole(&other))).unwrap_err();
    assert_eq!(error, DescriptorError::NoParameter { tensor: Tensor::Weight });

    let shape = shapes()[0];
    let [x, y, saved] = std::array::from_fn(|_| gpu().empty(shape.elements() as usize));
    let mut step = prepare::training(&norm, shape, whole(&x), whole(&y), PlanRequest::default());
    let training = Training::new(whole(&x), whole(&y)).saved(whole(&saved));
    let error = step.rebind(&norm, training).unwrap_err();
    let tensor = Tensor::SavedStatistics;
    assert_eq!(error, PrepareError::OtherTensors { tensor, required: false });
    assert!(values(&y).iter().all(|v| *v == 0.0));
}
