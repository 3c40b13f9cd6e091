//! Layers with a given state.

use wgpu_batchnorm::{BatchNorm, BatchNormDescriptor, Context, State};

use crate::gpu::{context, gpu};

/// PyTorch's layer of so many features.
pub fn descriptor(features: u32) -> BatchNormDescriptor<'static> {
    BatchNormDescriptor { features, ..Default::default() }
}

/// A layer with the state's vectors that it has.
pub fn layer(descriptor: &BatchNormDescriptor<'_>, state: &State) -> BatchNorm {
    layer_in(context(), descriptor, state)
}

/// The same in another context of the device.
pub fn layer_in(context: &Context, descriptor: &BatchNormDescriptor<'_>, state: &State) -> BatchNorm {
    let norm = BatchNorm::new(context, descriptor).unwrap();
    norm.set_state(&gpu().queue, &cut(descriptor, state)).unwrap();
    norm
}

/// What a layer like this has of the state.
pub fn cut(descriptor: &BatchNormDescriptor<'_>, state: &State) -> State {
    let keep = |has, vector: &Vec<f32>| if has { vector.clone() } else { vec![] };
    State {
        weight: keep(descriptor.weight, &state.weight),
        bias: keep(descriptor.bias, &state.bias),
        running_mean: keep(descriptor.track_running_stats, &state.running_mean),
        running_var: keep(descriptor.track_running_stats, &state.running_var),
        num_batches_tracked: state.num_batches_tracked,
    }
}

/// The layer's state, after all work submitted so far.
pub fn read_state(norm: &BatchNorm) -> State {
    pollster::block_on(norm.read_state(&gpu().queue)).unwrap()
}
