//! Weight and bias as one binding, and their gradients in the same layout.

use testkit::gpu::{context, gpu, part, values, whole};
use testkit::layer::{descriptor, layer};
use testkit::plans::of_path;
use testkit::prepare;
use testkit::random::{state, tensor};
use testkit::train::train;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, BindingError, LayerBuffers, Path, PlanRequest, PrepareError,
    Shape, Tensor,
};

use crate::placement::MARGIN;

#[test]
fn weight_and_bias_are_one_binding() {
    for features in [1, 8, 64, 65, 300] {
        let before = state(features, 451);
        let norm = layer(&descriptor(features), &before);
        let (stride, c) = (norm.parameter_stride(), u64::from(features));
        assert_eq!(stride, c.next_multiple_of(64));
        let all = norm.parameters().unwrap();
        let size = 4 * (stride + c);
        assert_eq!((all.offset, all.size.unwrap().get()), (norm.weight().unwrap().offset, size));
        assert_eq!(norm.bias().unwrap().offset, all.offset + 4 * stride);
        let read: Vec<f32> = testkit::gpu::download(&gpu().device, &gpu().queue, all);
        assert_eq!(read[..features as usize], before.weight);
        assert_eq!(read[stride as usize..], before.bias);
    }
}

#[test]
fn weight_and_bias_that_are_not_one_binding() {
    for (weight, bias) in [(true, false), (false, true), (false, false)] {
        let norm = BatchNorm::new(context(), &BatchNormDescriptor { weight, bias, ..descriptor(8) }).unwrap();
        assert!(norm.parameters().is_none(), "{weight} {bias}");
    }
    let buffer = gpu().empty(1024);
    let with = |buffers| {
        let norm = BatchNorm::with_buffers(context(), &descriptor(8), buffers).unwrap();
        norm.parameters().map(|all| (all.offset, all.size.unwrap().get(), *all.buffer == buffer))
    };
    let new = LayerBuffers::new;
    let at = |offset| part(&buffer, offset, 32);
    assert_eq!(with(new().weight(at(256))), None, "the bias is the layer's");
    assert_eq!(with(new().bias(at(256))), None, "the weight is the layer's");
    assert_eq!(with(new().weight(at(256)).bias(at(1024))), None, "too far apart");
    assert_eq!(with(new().weight(at(512)).bias(at(256))), None, "in the other order");
    // One after the other in a buffer of the caller's, they are one binding.
    assert_eq!(with(new().weight(at(256)).bias(at(512))), Some((256, 288, true)));
    assert_eq!(with(new()), Some((0, 288, false)));
}

/// How a backward is asked for the gradients of weight and bias.
#[derive(Clone, Copy, Debug, PartialEq)]
enum As {
    /// As one binding.
    One,
    /// As the same ranges, one by one.
    Two,
}

/// The path of a backward with dx; none for one without.
#[derive(Clone, Copy, Debug)]
struct Work {
    path: Option<Path>,
    accumulate: bool,
    /// How often it is recorded.
    times: usize,
}

/// What stands in a buffer of gradients, which held a margin before.
#[track_caller]
fn gradients(shape: Shape, work: Work, how: As) -> Vec<f32> {
    let (c, plan) = (shape.features(), plan_of(work.path));
    let norm = layer(&descriptor(c), &state(c, 452));
    let (x, dy) = (tensor(shape, 453), tensor(shape, 454));
    let [xb, y, dyb, dx] = [&x, &x, &dy, &x].map(|values| gpu().upload(values));
    let (stride, vector) = (4 * norm.parameter_stride(), 4 * u64::from(c));
    let both = gpu().upload(&vec![MARGIN; (512 + 2 * stride) as usize / 4]);
    let step = prepare::training(&norm, shape, whole(&xb), whole(&y), plan);
    let mut backward = Backward::of(whole(&dyb)).accumulate(work.accumulate).plan(plan);
    if work.path.is_some() {
        backward = backward.input_gradient(whole(&dx));
    }
    backward = match how {
        As::One => backward.parameter_gradients(part(&both, 256, stride + vector)),
        As::Two => backward.weight_gradient(part(&both, 256, vector)).bias_gradient(part(
            &both,
            256 + stride,
            vector,
        )),
    };
    let back = norm.prepare_backward(&step, backward).unwrap();
    gpu()
        .run(|pass| {
            step.record(pass);
            (0..work.times).for_each(|_| back.record(pass));
        })
        .unwrap();
    values(&both)
}

#[test]
fn gradients_are_laid_out_as_the_parameters() {
    for shape in [Shape::rows(40, 8), Shape::rows(15, 70), Shape::channels_first(5, 8, &[4, 4])] {
        let c = shape.features() as usize;
        let stride = c.next_multiple_of(64);
        for path in [None, Some(Path::Cached), Some(Path::Persistent), Some(Path::Split)] {
            let work = Work { path, accumulate: false, times: 1 };
            let got = gradients(shape, work, As::One);
            assert!(got == gradients(shape, work, As::Two), "{shape}, {work:?}");
            // Nothing is written before, between and after.
            let (weight, bias) = (64..64 + c, 64 + stride..64 + stride + c);
            for (i, value) in got.iter().enumerate() {
                let is_gradient = weight.contains(&i) || bias.contains(&i);
                assert_eq!(*value != MARGIN, is_gradient, "{i} of {shape}, {work:?}");
            }
            let (x, dy) = (tensor(shape, 453), tensor(shape, 454));
            let want =
                train(&layer(&descriptor(c as u32), &state(c as u32, 452)), shape, &x, &dy, plan_of(path));
            if path.is_some() {
                assert!(got[weight.clone()] == want.dweight && got[bias.clone()] == want.dbias, "{work:?}");
            }

            // Added three times to what was there.
            let added = gradients(shape, Work { accumulate: true, times: 3, ..work }, As::One);
            for (i, (added, once)) in added.iter().zip(&got).enumerate() {
                let is_gradient = weight.contains(&i) || bias.contains(&i);
                let sum = (0..3).fold(MARGIN, |sum, _| sum + once);
                assert_eq!(*added, if is_gradient { sum } else { MARGIN }, "{i} of {shape}, {work:?}");
            }
        }
    }
}

fn plan_of(path: Option<Path>) -> PlanRequest {
    path.map_or(PlanRequest::new(), of_path)
}

#[test]
fn a_binding_that_cannot_hold_both_gradients() {
    let norm = layer(&descriptor(8), &state(8, 455));
    let shape = Shape::rows(32, 8);
    let [x, y, dy] = std::array::from_fn(|_| gpu().empty(256));
    let both = gpu().empty(128);
    let step = prepare::training(&norm, shape, whole(&x), whole(&y), PlanRequest::new());
    let error =
        |both| norm.prepare_backward(&step, Backward::of(whole(&dy)).parameter_gradients(both)).unwrap_err();
    let too_small = |tensor, given| BindingError::TooSmall { tensor, required: 32, given };
    assert_eq!(error(part(&both, 0, 284)), PrepareError::Binding(too_small(Tensor::BiasGradient, 28)));
    assert_eq!(error(part(&both, 0, 28)), PrepareError::Binding(too_small(Tensor::WeightGradient, 28)));
    assert!(matches!(
        error(part(&both, 256, 0)),
        PrepareError::Binding(BindingError::TooSmall { tensor: Tensor::BiasGradient, given: 0, .. })
    ));
    for (weight, bias, tensor) in [(false, true, Tensor::WeightGradient), (true, false, Tensor::BiasGradient)]
    {
        let norm = layer(&BatchNormDescriptor { weight, bias, ..descriptor(8) }, &state(8, 456));
        let step = prepare::training(&norm, shape, whole(&x), whole(&y), PlanRequest::new());
        let backward = Backward::of(whole(&dy)).parameter_gradients(whole(&both));
        let error = norm.prepare_backward(&step, backward).unwrap_err();
        assert_eq!(error, PrepareError::NoParameter { tensor });
    }
}
