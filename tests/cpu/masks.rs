//! Masks: as if there were no padding, whatever it holds.

use testkit::layout::Layout;
use testkit::random::{state, tensor};
use wgpu_batchnorm::cpu::{Layer, Options, backward, evaluate, train};
use wgpu_batchnorm::{Activation, BatchNormDescriptor, Shape};

fn layer(features: u32) -> Layer {
    let descriptor = BatchNormDescriptor { features, ..Default::default() };
    Layer::with_state(&descriptor, &state(features, 7))
}

/// The valid values of a tensor, as rows of their features.
fn rows<T: Copy>(values: &[T], shape: Shape, valid: &[bool]) -> Vec<T> {
    let layout = Layout::of(shape);
    let mut rows = Vec::new();
    for position in (0..valid.len()).filter(|&position| valid[position]) {
        for c in 0..layout.features {
            let at = |i: &usize| layout.position(*i) == position && layout.feature(*i) == c;
            rows.push(values[(0..values.len()).find(at).unwrap()]);
        }
    }
    rows
}

#[test]
fn padding_is_as_if_it_were_not_there() {
    for shape in [Shape::rows(9, 3), Shape::channels_first(4, 3, &[5]), Shape::channels_last(4, &[2, 3], 3)] {
        let [mut x, mut dy, mut z] = [1, 2, 3].map(|seed| tensor(shape, seed));
        let valid: Vec<bool> = (0..shape.count()).map(|i| i % 3 != 1).collect();
        let of_valid = |values: &[f32]| rows(values, shape, &valid);
        let [rows_x, rows_dy, rows_z] = [&x, &dy, &z].map(|values| of_valid(values));
        let dense = Shape::rows(rows_x.len() as u32 / 3, 3);
        let layout = Layout::of(shape);
        for tensor in [&mut x, &mut dy, &mut z] {
            for (i, value) in tensor.iter_mut().enumerate() {
                *value = if valid[layout.position(i)] { *value } else { f32::NAN };
            }
        }
        let relu = Options::default().activation(Activation::Relu);
        let (options, plain) = (relu.residual(&z).valid(&valid), relu.residual(&rows_z));
        let (mut masked, mut unmasked) = (layer(3), layer(3));
        let got = train(&x, shape, &mut masked, &options);
        let want = train(&rows_x, dense, &mut unmasked, &plain);
        let gradients = backward(&x, &dy, shape, &got.saved, &options);
        let want_gradients = backward(&rows_x, &rows_dy, dense, &want.saved, &plain);
        let evaluated = evaluate(&x, shape, &masked, &options).y;
        let want_evaluated = evaluate(&rows_x, dense, &unmasked, &plain).y;
        assert_eq!((masked, &got.saved), (unmasked, &want.saved), "{shape}");
        assert_eq!(gradients.sums, want_gradients.sums, "{shape}");
        for (name, got, want) in [
            ("y", &got.y, &want.y),
            ("dx", &gradients.dx, &want_gradients.dx),
            ("dz", &gradients.dz, &want_gradients.dz),
            ("y_eval", &evaluated, &want_evaluated),
        ] {
            assert_eq!(&rows(got, shape, &valid), want, "{shape}: {name}");
            let padding = got.iter().enumerate().filter(|(i, _)| !valid[layout.position(*i)]);
            padding.for_each(|(i, value)| assert_eq!(*value, 0.0, "{shape}: {name}[{i}]"));
        }
    }
}

#[test]
fn one_valid_value_has_no_variance() {
    let (x, mut layer) = (tensor(Shape::rows(4, 2), 11), layer(2));
    let (before, options) = (layer.clone(), Options::default());
    let options = options.valid(&[false, false, true, false]);
    let forward = train(&x, Shape::rows(4, 2), &mut layer, &options);
    let momentum = f64::from(0.1f32);
    for c in 0..2 {
        assert_eq!(forward.y[2 * 2 + c], before.bias[c]);
        assert_eq!(layer.running_var[c], (1.0 - momentum) * before.running_var[c]);
        let value = f64::from(x[2 * 2 + c]);
        assert_eq!(layer.running_mean[c], (1.0 - momentum) * before.running_mean[c] + momentum * value);
    }
    let gradients = backward(&x, &[1.0; 8], Shape::rows(4, 2), &forward.saved, &options);
    assert_eq!(gradients.dx, [0.0; 8]);
    assert_eq!(gradients.sums[0].dy, 1.0);
}

#[test]
fn no_valid_value_counts_the_batch_alone() {
    let shape = Shape::channels_first(2, 2, &[3]);
    let (x, mut layer) = (vec![f32::NAN; 12], layer(2));
    let before = layer.clone();
    let options = Options::default().valid(&[false; 6]).skip_non_finite(true);
    let forward = train(&x, shape, &mut layer, &options);
    assert_eq!(layer, Layer { num_batches_tracked: 1, ..before });
    assert!(forward.skipped.is_empty());
    let gradients = backward(&x, &[f32::NAN; 12], shape, &forward.saved, &options);
    assert_eq!((forward.y, gradients.dx, gradients.dz), (vec![0.0; 12], vec![0.0; 12], vec![0.0; 12]));
    assert!(gradients.sums.iter().all(|s| (s.dy, s.dy_xhat) == (0.0, 0.0)));
}
