//! Statistics in parts: as of the whole batch.

use approx::assert_relative_eq;
use testkit::random::{state, tensor};
use wgpu_batchnorm::cpu::parts::{
    apply, finalize, gather_moments, gather_sums, gradient_sums, input_gradient, moments,
};
use wgpu_batchnorm::cpu::{Layer, Moments, Options, backward, merge, train};
use wgpu_batchnorm::{Activation, BatchNormDescriptor, Shape};

const FEATURES: usize = 3;
const BATCH: usize = 7;

fn layer() -> Layer {
    let descriptor = BatchNormDescriptor { features: FEATURES as u32, ..Default::default() };
    Layer::with_state(&descriptor, &state(FEATURES as u32, 31))
}

#[track_caller]
fn assert_near(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert_relative_eq!(*got, *want, max_relative = 1e-12, epsilon = 1e-12);
    }
}

/// Everything that train and backward give, made of these parts of the batch, in this order.
fn in_parts(
    shape: fn(u32) -> Shape,
    sizes: &[usize],
    x: &[f32],
    dy: &[f32],
    options: &Options<'_>,
) -> Vec<Vec<f64>> {
    let example = shape(1).elements() as usize;
    let mut starts = vec![0];
    sizes.iter().for_each(|size| starts.push(starts[starts.len() - 1] + size));
    let part = |k: usize| {
        let examples = starts[k]..starts[k + 1];
        let values = examples.start * example..examples.end * example;
        let options = options.of_examples(examples, shape(BATCH as u32));
        (&x[values.clone()], &dy[values], shape(sizes[k] as u32), options)
    };
    let mut layer = layer();
    let parts = (0..sizes.len()).map(part);
    let of_parts: Vec<_> = parts.map(|(x, _, shape, options)| moments(x, shape, &options)).collect();
    let merged = gather_moments(&of_parts);
    let saved = finalize(&merged, &mut layer, options).saved;
    let parts = (0..sizes.len()).map(part);
    let of_part =
        |(x, dy, shape, options): (_, _, _, Options<'_>)| gradient_sums(x, dy, shape, &saved, &options);
    let sums = gather_sums(&parts.map(of_part).collect::<Vec<_>>());
    let (mut y, mut dx, mut dz) = (Vec::new(), Vec::new(), Vec::new());
    for (x, dy, shape, options) in (0..sizes.len()).map(part) {
        y.extend(apply(x, shape, &saved, &options));
        let gradients = input_gradient(x, dy, shape, &saved, &sums, &options);
        dx.extend(gradients.0);
        dz.extend(gradients.1);
    }
    let (dbias, dweight) = sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
    assert_eq!(layer.num_batches_tracked, 1);
    vec![y, dx, dz, dweight, dbias, layer.running_mean, layer.running_var]
}

#[test]
fn parts_are_the_batch() {
    let shapes: [fn(u32) -> Shape; 3] = [
        |batch| Shape::rows(batch, FEATURES as u32),
        |batch| Shape::channels_first(batch, FEATURES as u32, &[4]),
        |batch| Shape::channels_last(batch, &[2, 2], FEATURES as u32),
    ];
    for shape in shapes {
        let whole = shape(BATCH as u32);
        let [x, dy, z] = [32, 33, 34].map(|seed| tensor(whole, seed));
        let valid: Vec<bool> = (0..whole.count()).map(|i| i % 5 != 2).collect();
        let options = Options::default().activation(Activation::Gelu).residual(&z).valid(&valid);
        let mut layer = layer();
        let forward = train(&x, whole, &mut layer, &options);
        let gradients = backward(&x, &dy, whole, &forward.saved, &options);
        let (dbias, dweight) = gradients.sums.iter().map(|s| (s.dy, s.dy_xhat)).unzip();
        let want =
            [forward.y, gradients.dx, gradients.dz, dweight, dbias, layer.running_mean, layer.running_var];
        // Parts of one example and of none as well.
        for sizes in [&[7][..], &[3, 4], &[1, 6], &[0, 2, 0, 5], &[1; 7]] {
            let got = in_parts(shape, sizes, &x, &dy, &options);
            for ((name, got), want) in ["y", "dx", "dz", "dweight", "dbias", "running_mean", "running_var"]
                .iter()
                .zip(&got)
                .zip(&want)
            {
                assert_near(&format!("{name} of {whole} in {sizes:?}"), got, want);
            }
        }
    }
}

/// The order in which moments are merged does not matter, nor do parts without values.
#[test]
fn merging_is_symmetric() {
    let a = Moments { count: 3.0, mean: 1e6, variance: 2.0 };
    let b = Moments { count: 5.0, mean: 1e6 + 4.0, variance: 0.5 };
    let (ab, ba) = (merge(a, b), merge(b, a));
    assert_eq!(ab.count, 8.0);
    assert_near("mean", &[ab.mean, ab.variance], &[ba.mean, ba.variance]);
    assert_near(
        "moments",
        &[ab.mean, ab.variance],
        &[1e6 + 2.5, (3.0 * (2.0 + 6.25) + 5.0 * (0.5 + 2.25)) / 8.0],
    );
    assert_eq!((merge(a, Moments::default()), merge(Moments::default(), a)), (a, a));
}
