//! Steps rebound to other tensors give the same bits as steps prepared for them.

use crate::placement::{Arena, MARGIN};
use testkit::gpu::{gpu, part, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::plans::paths;
use testkit::prepare::{self, Gradients};
use testkit::random::{state, tensor};
use testkit::train::{Trained, evaluate, train};
use wgpu_batchnorm::wgpu::{Buffer, BufferBinding};
use wgpu_batchnorm::{
    Backward, BackwardStep, BatchNorm, BindingError, Evaluation, ForwardStep, PlanRequest, PrepareError,
    Shape, Tensor, Training,
};

const FEATURES: u32 = 8;

fn shapes() -> [Shape; 2] {
    [Shape::rows(40, FEATURES), Shape::channels_first(5, FEATURES, &[4, 4])]
}

/// A step and its backward on buffers of their own, which hold nothing of use.
struct Elsewhere {
    norm: BatchNorm,
    buffers: [Buffer; 4],
    vectors: [Buffer; 2],
    step: ForwardStep,
    back: BackwardStep,
}

impl Elsewhere {
    fn new(shape: Shape, plan: PlanRequest) -> Self {
        let norm = layer(&descriptor(FEATURES), &state(FEATURES, 421));
        let unused = vec![MARGIN; shape.elements() as usize];
        let buffers = std::array::from_fn(|_| gpu().upload(&unused));
        let vectors = std::array::from_fn(|_| gpu().upload(&[MARGIN; FEATURES as usize]));
        let [x, y, dy, dx] = buffers.each_ref().map(whole);
        let step = prepare::training(&norm, shape, x, y, plan);
        let [dweight, dbias] = vectors.each_ref().map(whole);
        let back = prepare::backward(&norm, &step, dy, gradients([dx, dweight, dbias]), plan);
        Self { norm, buffers, vectors, step, back }
    }

    fn rebind(&mut self, [x, y]: [BufferBinding<'_>; 2], backward: Backward<'_>) {
        self.step.rebind(&self.norm, Training::new(x, y)).unwrap();
        self.back.rebind(&self.norm, &self.step, backward).unwrap();
    }

    fn run(&self) {
        gpu()
            .run(|pass| {
                self.step.record(pass);
                self.back.record(pass);
            })
            .unwrap();
    }

    /// That nothing was written to the first buffers.
    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        for buffer in self.buffers.iter().chain(&self.vectors) {
            assert!(values(buffer).iter().all(|v| *v == MARGIN), "{what}");
        }
    }
}

fn gradients([dx, dweight, dbias]: [BufferBinding<'_>; 3]) -> Gradients<'_> {
    Gradients { dx: Some(dx), dweight: Some(dweight), dbias: Some(dbias), accumulate: false }
}

/// x, dy, and what training on them leaves.
fn wanted(shape: Shape, plan: PlanRequest) -> ([Vec<f32>; 2], Trained) {
    let (x, dy) = (tensor(shape, 422), tensor(shape, 423));
    let norm = layer(&descriptor(FEATURES), &state(FEATURES, 421));
    let trained = train(&norm, shape, &x, &dy, plan);
    ([x, dy], trained)
}

#[test]
fn to_other_buffers() {
    for shape in shapes() {
        for plan in paths() {
            let ([x, dy], want) = wanted(shape, plan);
            let mut steps = Elsewhere::new(shape, plan);
            let [xb, dyb] = [&x, &dy].map(|values| gpu().upload(values));
            let [y, dx] = std::array::from_fn(|_| gpu().empty(x.len()));
            let [dweight, dbias] = std::array::from_fn(|_| gpu().empty(FEATURES as usize));
            let backward = gradients([&dx, &dweight, &dbias].map(whole)).of(whole(&dyb));
            steps.rebind([whole(&xb), whole(&y)], backward);
            steps.run();
            let what = format!("{shape}, [{plan}]");
            let state = read_state(&steps.norm);
            let [y, dx, dweight, dbias] = [&y, &dx, &dweight, &dbias].map(values);
            assert!(Trained { y, state, dx, dweight, dbias } == want, "{what}");
            steps.assert_untouched(&what);
        }
    }
}

#[test]
fn to_ranges_of_one_buffer_and_back() {
    for shape in shapes() {
        for plan in paths() {
            let ([x, dy], want) = wanted(shape, plan);
            let mut steps = Elsewhere::new(shape, plan);
            let (zero, vector) = (vec![0.0; x.len()], [0.0; FEATURES as usize]);
            let arena = Arena::new(&[&x, &zero, &dy, &zero, &vector, &vector]);
            let backward = gradients([3, 4, 5].map(|k| arena.binding(k))).of(arena.binding(2));
            steps.rebind([arena.binding(0), arena.binding(1)], backward);
            steps.run();
            let want = [x.clone(), want.y, dy.clone(), want.dx, want.dweight, want.dbias];
            let what = format!("{shape}, [{plan}]");
            assert!(arena.read() == want, "{what}");
            steps.assert_untouched(&what);

            // And back to buffers of their own.
            let [xb, yb, dyb, dxb] = steps.buffers.clone();
            let [dweight, dbias] = steps.vectors.clone();
            gpu().queue.write_buffer(&xb, 0, bytemuck::cast_slice(&x));
            gpu().queue.write_buffer(&dyb, 0, bytemuck::cast_slice(&dy));
            let backward = gradients([&dxb, &dweight, &dbias].map(whole)).of(whole(&dyb));
            steps.rebind([whole(&xb), whole(&yb)], backward);
            steps.run();
            assert!([&xb, &yb, &dyb, &dxb, &dweight, &dbias].map(values) == want, "{what}, and back");
        }
    }
}

#[test]
fn to_work_in_place() {
    for shape in shapes() {
        for plan in paths() {
            let ([x, dy], want) = wanted(shape, plan);
            let mut steps = Elsewhere::new(shape, plan);
            let [tensor, copy, gradient] = [&x, &x, &dy].map(|values| gpu().upload(values));
            let [dweight, dbias] = std::array::from_fn(|_| gpu().empty(FEATURES as usize));
            let backward = gradients([&gradient, &dweight, &dbias].map(whole)).of(whole(&gradient));
            steps.rebind([whole(&tensor), whole(&tensor)], backward.input(whole(&copy)));
            steps.run();
            let got = [&tensor, &copy, &gradient, &dweight, &dbias].map(values);
            let want = [want.y, x, want.dx, want.dweight, want.dbias];
            assert!(got == want, "{shape}, [{plan}]");
            steps.assert_untouched("in place");
        }
    }
}

#[test]
fn an_evaluation() {
    for shape in shapes() {
        let x = tensor(shape, 424);
        let norm = layer(&descriptor(FEATURES), &state(FEATURES, 421));
        let want = evaluate(&norm, shape, &x, PlanRequest::default());
        let [a, b] = std::array::from_fn(|_| gpu().empty(x.len()));
        let mut step = prepare::evaluation(&norm, shape, whole(&a), whole(&b), PlanRequest::default());
        let arena = Arena::new(&[&x, &x, &x]);
        for [input, output] in [[0, 1], [2, 2]] {
            step.rebind(&norm, Evaluation::new(arena.binding(input), arena.binding(output))).unwrap();
            gpu().run(|pass| step.record(pass)).unwrap();
        }
        assert!(arena.read() == [x, want.clone(), want], "{shape}");
    }
}

/// Each way to fail, after which the steps still work on the buffers that they had.
#[test]
fn a_failure_leaves_steps_as_they_were() {
    let (shape, plan) = (shapes()[0], paths()[2]);
    let ([x, dy], want) = wanted(shape, plan);
    let mut steps = Elsewhere::new(shape, plan);
    let [xb, yb, dyb, dxb] = steps.buffers.clone();
    let [dweight, dbias] = steps.vectors.clone();
    gpu().queue.write_buffer(&xb, 0, bytemuck::cast_slice(&x));
    gpu().queue.write_buffer(&dyb, 0, bytemuck::cast_slice(&dy));
    let (small, other) = (gpu().empty(8), gpu().empty(2 * x.len()));
    let Elsewhere { norm, step, back, .. } = &mut steps;

    let bytes = shape.bytes();
    let error =
        step.rebind(norm, Training::new(part(&other, 0, bytes), part(&other, 256, bytes))).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::Overlap { .. })), "{error}");
    let error = step.rebind(norm, Training::new(whole(&other), whole(&small))).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::TooSmall { .. })), "{error}");
    let own = norm.bias().unwrap();
    let error = step.rebind(norm, Training::new(own, whole(&other))).unwrap_err();
    assert_eq!(error, PrepareError::LayersOwn { tensor: Tensor::Input });

    let base = || Backward::of(whole(&dyb)).input_gradient(whole(&other));
    let both = || base().weight_gradient(whole(&small)).bias_gradient(whole(&other));
    let error = back.rebind(norm, step, both()).unwrap_err();
    assert!(matches!(error, PrepareError::Binding(BindingError::Overlap { .. })), "{error}");
    let given = |tensor, required| PrepareError::OtherTensors { tensor, required };
    let error = back.rebind(norm, step, base()).unwrap_err();
    assert_eq!(error, given(Tensor::WeightGradient, true));
    let error = back.rebind(norm, step, base().weight_gradient(whole(&small))).unwrap_err();
    assert_eq!(error, given(Tensor::BiasGradient, true));
    let without_dx = Backward::of(whole(&dyb)).weight_gradient(whole(&dweight)).bias_gradient(whole(&dbias));
    let error = back.rebind(norm, step, without_dx).unwrap_err();
    assert_eq!(error, given(Tensor::InputGradient, true));
    let error = back.rebind(norm, step, both().input(whole(&yb))).unwrap_err();
    assert_eq!(error, PrepareError::ForwardsTensor { tensor: Tensor::Input, given: Tensor::Output });

    steps.run();
    let [y, dx, dweight, dbias] = [&yb, &dxb, &dweight, &dbias].map(values);
    let state = read_state(&steps.norm);
    assert!(Trained { y, state, dx, dweight, dbias } == want);
}

#[test]
fn a_backward_wants_the_gradients_that_it_was_prepared_for() {
    let (shape, plan) = (shapes()[0], PlanRequest::default());
    let norm = layer(&descriptor(FEATURES), &state(FEATURES, 421));
    let [x, y, dy, dx] = std::array::from_fn(|_| gpu().empty(shape.elements() as usize));
    let vector = gpu().empty(FEATURES as usize);
    let step = prepare::training(&norm, shape, whole(&x), whole(&y), plan);
    let dx_alone = || Gradients { dx: Some(whole(&dx)), ..Default::default() };
    let mut back = prepare::backward(&norm, &step, whole(&dy), dx_alone(), plan);
    let more = Gradients { dweight: Some(whole(&vector)), ..dx_alone() };
    let error = back.rebind(&norm, &step, more.of(whole(&dy))).unwrap_err();
    assert_eq!(error, PrepareError::OtherTensors { tensor: Tensor::WeightGradient, required: false });
    back.rebind(&norm, &step, dx_alone().of(whole(&dy))).unwrap();
}
