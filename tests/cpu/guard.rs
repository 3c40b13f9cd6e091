//! What keeps running statistics from moving: the guard, the commit flag, and layers that do not track.

use testkit::random::{state, tensor};
use wgpu_batchnorm::cpu::{Forward, Layer, Options, evaluate, train};
use wgpu_batchnorm::{BatchNormDescriptor, Shape, Statistics};

const SHAPE: fn() -> Shape = || Shape::rows(8, 4);

fn layer() -> Layer {
    let descriptor = BatchNormDescriptor { features: 4, ..Default::default() };
    Layer::with_state(&descriptor, &state(4, 21))
}

/// A NaN in feature 1, an infinity in feature 3; feature 2's variance is beyond float32.
fn poisoned() -> Vec<f32> {
    let mut x = tensor(SHAPE(), 22);
    (x[4 + 1], x[8 + 3]) = (f32::NAN, f32::NEG_INFINITY);
    (0..8).for_each(|row| x[row * 4 + 2] *= 1e25);
    x
}

fn trained(x: &[f32], options: &Options<'_>) -> (Layer, Forward) {
    let mut layer = layer();
    let forward = train(x, SHAPE(), &mut layer, options);
    (layer, forward)
}

#[test]
fn skipped_features_keep_their_running_statistics() {
    let options = Options::default();
    let (plain, all) = trained(&poisoned(), &options);
    assert!(all.skipped.is_empty() && plain.running_mean[1].is_nan() && plain.running_var[3].is_nan());
    for statistics in [Statistics::Batch, Statistics::Running] {
        let (guarded, forward) = trained(&poisoned(), &options.statistics(statistics).skip_non_finite(true));
        assert_eq!(forward.skipped, [1, 2, 3]);
        assert_eq!(guarded.num_batches_tracked, 1);
        assert_eq!(
            (guarded.running_mean[0], guarded.running_var[0]),
            (plain.running_mean[0], plain.running_var[0])
        );
        for c in 1..4 {
            assert_eq!(guarded.running_mean[c], layer().running_mean[c]);
            assert_eq!(guarded.running_var[c], layer().running_var[c]);
        }
    }
}

#[test]
fn nothing_moves_without_a_commit() {
    let options = Options::default().skip_non_finite(true);
    let (committed, with) = trained(&poisoned(), &options);
    assert_ne!(committed, layer());
    for options in [options.commit(false), options.update_running(false)] {
        let (after, without) = trained(&poisoned(), &options);
        assert_eq!((after, without.skipped), (layer(), vec![]));
        // y is the same either way; features without a NaN can be compared.
        assert_eq!((without.y[0], without.y[4]), (with.y[0], with.y[4]));
    }
}

#[test]
fn a_layer_that_does_not_track_uses_the_batch() {
    let x = tensor(SHAPE(), 23);
    let mut layer = layer();
    layer.descriptor.track_running_stats = false;
    let before = layer.clone();
    let forward = train(&x, SHAPE(), &mut layer, &Options::default());
    assert_eq!(layer, before);
    assert_eq!(evaluate(&x, SHAPE(), &layer, &Options::default()), forward);
}
