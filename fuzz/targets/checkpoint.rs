//! Any bytes as a checkpoint: what can be read of them can be written, and is then the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgpu_batchnorm::checkpoint::{Checkpoint, encode};
use wgpu_batchnorm::{Names, State};

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::open(bytes) else { return };
    for name in checkpoint.names() {
        let shape = checkpoint.shape(name).expect("it has a shape");
        if let Ok(values) = checkpoint.values(name, shape) {
            assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        }
    }
    for names in [Names::PYTORCH, Names::KERAS, Names::FLAX, Names::ONNX] {
        for prefix in checkpoint.prefixes(&names).into_iter().chain([""]) {
            let Ok(state) = checkpoint.state(&names, prefix) else { continue };
            let Ok(file) = encode(&Names::PYTORCH, &[("again", &state)], &[]) else { continue };
            let again = Checkpoint::open(&file).expect("it was written so").state(&Names::PYTORCH, "again");
            assert_eq!(again.map(bits), Ok(bits(state)));
        }
    }
});

/// NaN is not equal to itself.
fn bits(state: State) -> ([Vec<u32>; 4], u64) {
    let State { weight, bias, running_mean, running_var, num_batches_tracked } = state;
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    ([weight, bias, running_mean, running_var].map(bits), num_batches_tracked)
}
