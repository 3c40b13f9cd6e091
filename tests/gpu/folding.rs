//! Folded layers compute what the layer on the device computes in evaluation.

use testkit::convolution::Convolution;
use testkit::coverage::indices::Inspector;
use testkit::gpu::{context, gpu, part, values, whole};
use testkit::layer::{cut, descriptor, layer};
use testkit::random::{state, tensor};
use wgpu_batchnorm::fold::{Fold, FoldError, FoldKernel, Padding, WeightShape, shader};
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, BindingError, DispatchBinding, DispatchDescription, Evaluation, Shape,
    State, Tensor,
};

use crate::placement::MARGIN;

const BATCH: usize = 4;
const SIZE: [usize; 3] = [1, 9, 7];

/// A grouped convolution with strides.
const LAYER: Convolution = Convolution {
    outputs: 12,
    inputs: 8,
    groups: 4,
    kernel: [1, 3, 3],
    stride: [1, 2, 1],
    padding: [0; 3],
    transposed: false,
};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// The evaluation on the device.
fn evaluate(x: &[f32], features: usize, size: [usize; 3], state: &State) -> Vec<f32> {
    let norm = BatchNorm::new(context(), &descriptor(features as u32)).unwrap();
    norm.set_state(&gpu().queue, state).unwrap();
    let shape = Shape::channels_first(BATCH as u32, features as u32, &size.map(|size| size as u32));
    let (x, y) = (gpu().upload(x), gpu().empty(x.len()));
    let step = norm.prepare_evaluation(shape, Evaluation::new(whole(&x), whole(&y))).unwrap();
    gpu().run(|pass| step.record(pass)).unwrap();
    values(&y)
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64]) {
    let largest = want.iter().fold(0.0f64, |largest, y| largest.max(y.abs()));
    let error = got.iter().zip(want).fold(0.0f64, |error, (got, want)| error.max((got - want).abs()));
    assert!(got.len() == want.len() && error <= 1e-6 * largest, "off by {error:e} of {largest}");
}

#[test]
fn before_and_after_a_convolution() {
    let shape = Shape::channels_first(BATCH as u32, 8, &SIZE.map(|size| size as u32));
    let x = tensor(shape, 751);
    let weight: Vec<f32> = state(LAYER.weights() as u32, 752).running_mean;
    let bias = state(12, 753).bias;
    let weights = WeightShape::convolution(12, 8, &[3, 3]).groups(4);
    let eps = descriptor(1).eps;
    let run = |x: &[f64], weight: &[f32], bias: &[f32]| LAYER.run(x, BATCH, SIZE, &wide(weight), &wide(bias));

    let after = state(12, 754);
    let y: Vec<f32> = run(&wide(&x), &weight, &bias).iter().map(|y| *y as f32).collect();
    let want = evaluate(&y, 12, LAYER.size(SIZE), &after);
    let folded = after.scale_and_shift(eps).unwrap();
    let folded = folded.fold_into_preceding(&weights, &weight, Some(&bias)).unwrap();
    assert_close(&run(&wide(&x), &folded.weight, &folded.bias), &wide(&want));

    let before = state(8, 755);
    let normalized = evaluate(&x, 8, SIZE, &before);
    let want = run(&wide(&normalized), &weight, &bias);
    let folded = before.scale_and_shift(eps).unwrap();
    let folded = folded.fold_into_following(&weights, Padding::None, &weight, Some(&bias)).unwrap();
    assert_close(&run(&wide(&x), &folded.weight, &folded.bias), &want);
}

/// Shapes with every order of axes, groups, and the kernels' sizes.
fn shapes() -> Vec<WeightShape> {
    let base = [
        WeightShape::linear(7, 5),
        WeightShape::convolution(12, 8, &[3, 3]).groups(4),
        WeightShape::convolution(6, 6, &[5]).groups(6),
        WeightShape::convolution(130, 33, &[1, 2, 2]),
        WeightShape::transposed_convolution(8, 12, &[3, 2]).groups(2),
        WeightShape::transposed_convolution(3, 70, &[2]),
    ];
    base.iter().flat_map(|shape| [*shape, shape.outputs_last()]).collect()
}

#[test]
fn on_the_device() {
    let kernel = FoldKernel::new(context()).unwrap();
    for shape in shapes() {
        let (c, len) = (shape.outputs(), shape.elements());
        let (weight, bias) = (state(len as u32, 761).running_mean, state(c as u32, 762).running_mean);
        let [weights, biases] = [&weight, &bias].map(|values| gpu().upload(values));
        for (has_weight, has_bias, bias) in [
            (true, true, None),
            (true, false, Some(&*bias)),
            (false, true, Some(&*bias)),
            (false, false, None),
        ] {
            let d = BatchNormDescriptor { weight: has_weight, bias: has_bias, ..descriptor(c as u32) };
            let norm = layer(&d, &state(c as u32, 763));
            // A margin behind each, which nothing writes.
            let [folded_weight, folded_bias] = [len, c].map(|len| gpu().upload(&vec![MARGIN; len + 64]));
            let mut fold = Fold::new(shape, whole(&weights), whole(&folded_weight), whole(&folded_bias));
            if bias.is_some() {
                fold = fold.bias(whole(&biases));
            }
            let step = kernel.prepare(&norm, &fold).unwrap();
            // The step takes the state as it is when it runs.
            for seed in [764, 765] {
                let now = cut(&d, &state(c as u32, seed));
                norm.set_state(&gpu().queue, &now).unwrap();
                gpu().run(|pass| step.record(pass)).unwrap();
                let affine = now.scale_and_shift(d.eps).unwrap();
                let want = affine.fold_into_preceding(&shape, &weight, bias).unwrap();
                let (got_weight, got_bias) = (values(&folded_weight), values(&folded_bias));
                let what = format!("{shape:?}, {has_weight} {has_bias} {}", bias.is_some());
                for (i, want) in want.weight.iter().enumerate() {
                    let off = (got_weight[i] - want).abs();
                    assert!(off <= 5e-7 * want.abs(), "{what}: weight {i}: {} for {want}", got_weight[i]);
                }
                for (o, want) in want.bias.iter().enumerate() {
                    let beta = now.bias.get(o).map_or(0.0, |beta| beta.abs());
                    let size = (bias.map_or(0.0, |b| b[o].abs()) + now.running_mean[o].abs())
                        * affine.scale[o].abs() as f32
                        + beta;
                    let off = (got_bias[o] - want).abs();
                    assert!(off <= 5e-7 * size, "{what}: bias {o}: {} for {want}", got_bias[o]);
                }
                assert!(
                    got_weight[len..].iter().chain(&got_bias[c..]).all(|value| *value == MARGIN),
                    "{what}"
                );
            }
        }
    }
}

/// Without run-time checks, which keep what is out of range from being touched and which a device may do otherwise.
#[test]
fn no_index_is_out_of_range() {
    let shape = WeightShape::linear(7, 5);
    let (len, c) = (shape.elements(), shape.outputs());
    // total, outputs, wide, out_divisor, out_count, group_divisor, group_count, group_inputs; bias, weight and bias of the
    // batch norm; eps.
    let mut params = vec![len as u32, c as u32, 1, 5, 7, 1, 1, 5, 1, 1, 1];
    params.push(1e-5f32.to_bits());
    let binding = |(binding, len): (usize, usize)| DispatchBinding {
        group: 0,
        binding: binding as u32,
        buffer: gpu().empty(len.max(1)),
        offset: 0,
        size: 4 * len as u64,
        uniform: if binding == 0 {
            params.iter().flat_map(|word| word.to_le_bytes()).collect()
        } else {
            vec![]
        },
    };
    let fold = DispatchDescription {
        label: "fold_preceding".into(),
        source: shader(),
        entry: "fold_preceding",
        constants: vec![],
        workgroups: [1, 1, 1],
        bindings: [0, len, c, c, c, c, c, len, c].into_iter().enumerate().map(binding).collect(),
    };
    Inspector::default().check("fold_preceding", &[fold]);
}

#[test]
fn what_cannot_be_folded_on_the_device() {
    let kernel = FoldKernel::new(context()).unwrap();
    let norm = layer(&descriptor(64), &state(64, 766));
    let shape = WeightShape::linear(64, 4);
    let [weight, bias, folded_weight, folded_bias] = [256, 64, 256, 64].map(|len| gpu().empty(len));
    let error = |norm: &BatchNorm, fold: Fold<'_>| kernel.prepare(norm, &fold).unwrap_err();
    let good = || Fold::new(shape, whole(&weight), whole(&folded_weight), whole(&folded_bias));
    kernel.prepare(&norm, &good().bias(whole(&bias))).unwrap();

    let d = BatchNormDescriptor { track_running_stats: false, ..descriptor(64) };
    assert_eq!(error(&layer(&d, &state(64, 767)), good()), FoldError::NotTracked);
    let other = layer(&descriptor(32), &state(32, 768));
    let features = FoldError::Features { channels: "outputs", required: 64, given: 32 };
    assert_eq!(error(&other, good()), features);
    let with = |shape| Fold::new(shape, whole(&weight), whole(&folded_weight), whole(&folded_bias));
    assert_eq!(error(&norm, with(shape.groups(3))), FoldError::Groups { groups: 3, outputs: 64, inputs: 4 });
    let too_small = |tensor, required, given| BindingError::TooSmall { tensor, required, given };
    assert_eq!(error(&norm, with(WeightShape::linear(64, 5))), too_small(Tensor::Weight, 1280, 1024).into());
    let huge = WeightShape::convolution(64, 1 << 40, &[1 << 40]);
    assert_eq!(error(&norm, with(huge)), too_small(Tensor::Weight, u64::MAX, 1024).into());
    assert_eq!(error(&norm, good().bias(part(&bias, 0, 252))), too_small(Tensor::Bias, 256, 252).into());
    let fold = Fold::new(shape, whole(&weight), part(&folded_weight, 0, 1020), whole(&folded_bias));
    assert_eq!(error(&norm, fold), too_small(Tensor::FoldedWeight, 1024, 1020).into());
    // What is written must not be read, not even elsewhere in the buffer.
    let same = |tensor| FoldError::SameBuffer { tensor };
    let fold = Fold::new(shape, whole(&weight), whole(&weight), whole(&folded_bias));
    assert_eq!(error(&norm, fold), same(Tensor::FoldedWeight));
    let fold = Fold::new(shape, whole(&weight), whole(&folded_weight), whole(&bias)).bias(whole(&bias));
    assert_eq!(error(&norm, fold), same(Tensor::FoldedBias));
    let fold = Fold::new(shape, whole(&weight), whole(&folded_weight), norm.bias().unwrap());
    assert_eq!(error(&norm, fold), same(Tensor::FoldedBias));
    let both = gpu().empty(320);
    let fold = Fold::new(shape, whole(&weight), whole(&both), part(&both, 768, 256));
    assert!(matches!(error(&norm, fold), FoldError::Binding(BindingError::Overlap { .. })));
    let fold = Fold::new(shape, whole(&weight), part(&both, 0, 1024), part(&both, 1024, 256));
    kernel.prepare(&norm, &fold).unwrap();
}
