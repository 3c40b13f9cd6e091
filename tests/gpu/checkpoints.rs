//! States of layers on the device from and to checkpoints, all or nothing; and what a read waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::gpu::{context, gpu, whole};
use testkit::layer::{cut, descriptor, layer, read_state};
use testkit::random::state;
use wgpu_batchnorm::checkpoint::{Checkpoint, LoadError, encode, save};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    BatchNorm, BatchNormDescriptor, Context, LayerBuffers, LayerStateError, Names, State, StateError, Tensor,
    TensorError, read_states, set_states, wgpu,
};

/// Layers with all vectors, without affine ones, with single ones, and without running statistics.
fn network() -> Vec<(&'static str, BatchNormDescriptor<'static>)> {
    let base = descriptor(5);
    vec![
        ("bn1", base),
        ("layer1.0.bn", BatchNormDescriptor { weight: false, bias: false, ..base }),
        ("layer1.0.bn1", BatchNormDescriptor { bias: false, features: 70, ..base }),
        ("layer1.1", BatchNormDescriptor { track_running_stats: false, ..base }),
        ("", BatchNormDescriptor { features: 1, ..base }),
    ]
}

/// Layers of the network with states of their own, and these states.
fn layers(seed: u64) -> (Vec<BatchNorm>, Vec<State>) {
    let with = |(i, (_, d)): (usize, &(&str, BatchNormDescriptor<'static>))| {
        let batches = if d.track_running_stats { seed + i as u64 } else { 0 };
        let state = State { num_batches_tracked: batches, ..cut(d, &state(d.features, seed + i as u64)) };
        (layer(d, &state), state)
    };
    network().iter().enumerate().map(with).unzip()
}

fn named(norms: &[BatchNorm]) -> Vec<(&'static str, &BatchNorm)> {
    network().into_iter().map(|(prefix, _)| prefix).zip(norms).collect()
}

fn states(norms: &[BatchNorm]) -> Vec<State> {
    pollster::block_on(read_states(&gpu().queue, &norms.iter().collect::<Vec<_>>())).unwrap()
}

#[test]
fn a_network_is_saved_and_loaded() {
    let (from, before) = layers(700);
    assert_eq!(states(&from), before);
    let bytes = pollster::block_on(save(&gpu().queue, &Names::PYTORCH, &named(&from), &[])).unwrap();
    let pairs: Vec<_> = network().into_iter().map(|(prefix, _)| prefix).zip(&before).collect();
    assert!(bytes == encode(&Names::PYTORCH, &pairs, &[]).unwrap());

    let (to, other) = layers(800);
    assert_ne!(other, before);
    Checkpoint::open(&bytes).unwrap().load(&gpu().queue, &Names::PYTORCH, &named(&to)).unwrap();
    assert_eq!(states(&to), before);
    // One layer of many, and two layers that share a prefix.
    let twin = layer(&descriptor(5), &state(5, 1));
    let checkpoint = Checkpoint::open(&bytes).unwrap();
    checkpoint.load(&gpu().queue, &Names::PYTORCH, &[("bn1", &twin), ("bn1", &twin)]).unwrap();
    assert_eq!(read_state(&twin), before[0]);
    checkpoint.load(&gpu().queue, &Names::PYTORCH, &[]).unwrap();
}

#[test]
fn names_without_a_count() {
    let (from, before) = layers(710);
    for names in [Names::KERAS, Names::FLAX, Names::ONNX] {
        let bytes = pollster::block_on(save(&gpu().queue, &names, &named(&from), &[])).unwrap();
        let (to, _) = layers(810);
        Checkpoint::open(&bytes).unwrap().load(&gpu().queue, &names, &named(&to)).unwrap();
        for (state, before) in states(&to).into_iter().zip(&before) {
            assert_eq!(state, State { num_batches_tracked: 0, ..before.clone() });
        }
    }
}

/// Loads a checkpoint of the network into layers of which one is another than the checkpoint's, and expects that nothing
/// changes.
#[track_caller]
fn error_of(saved: &[State], norms: &[BatchNorm]) -> LoadError {
    let before = states(norms);
    let pairs: Vec<_> = network().into_iter().map(|(prefix, _)| prefix).zip(saved).collect();
    let bytes = encode(&Names::PYTORCH, &pairs, &[]).unwrap();
    let checkpoint = Checkpoint::open(&bytes).unwrap();
    let error = checkpoint.load(&gpu().queue, &Names::PYTORCH, &named(norms)).unwrap_err();
    assert_eq!(states(norms), before, "{error}");
    error
}

#[test]
fn nothing_changes_where_one_tensor_is_wrong() {
    let (norms, _) = layers(720);
    let (_, good) = layers(820);
    let change = |i: usize, change: &dyn Fn(&mut State)| {
        let mut saved = good.clone();
        change(&mut saved[i]);
        error_of(&saved, &norms)
    };
    let missing = |tensor: &str| LoadError::from(TensorError::Missing { tensor: tensor.into() });
    let unexpected = |tensor: &str| LoadError::Unexpected { tensor: tensor.into() };
    assert_eq!(change(2, &|state| state.weight.clear()), missing("layer1.0.bn1.weight"));
    assert_eq!(change(4, &|state| state.running_mean.clear()), missing("running_mean"));
    assert_eq!(change(0, &|state| *state = State::default()), missing("bn1.weight"));
    assert_eq!(change(1, &|state| state.bias = vec![0.0; 5]), unexpected("layer1.0.bn.bias"));
    assert_eq!(
        change(3, &|state| {
            state.running_mean = vec![0.0; 5];
            state.running_var = vec![0.0; 5];
        }),
        unexpected("layer1.1.running_mean")
    );
    assert_eq!(
        change(2, &|state| state.weight.push(1.0)),
        LoadError::Shape { tensor: "layer1.0.bn1.weight".into(), required: vec![70], given: vec![71] }
    );
    assert_eq!(
        change(4, &|state| state.running_var[0] = -2.0),
        TensorError::Variance { tensor: "running_var".into(), index: 0, given: -2.0 }.into()
    );
    // And with all of it right.
    let pairs: Vec<_> = network().into_iter().map(|(prefix, _)| prefix).zip(&good).collect();
    let bytes = encode(&Names::PYTORCH, &pairs, &[]).unwrap();
    Checkpoint::open(&bytes).unwrap().load(&gpu().queue, &Names::PYTORCH, &named(&norms)).unwrap();
    assert_eq!(states(&norms), good);
}

#[test]
fn states_of_several_layers_are_set_together_or_not_at_all() {
    let (norms, before) = layers(730);
    let (_, mut good) = layers(830);
    let set = |states: &[State]| {
        let pairs: Vec<_> = norms.iter().zip(states).collect();
        set_states(&gpu().queue, &pairs)
    };
    let mut bad = good.clone();
    bad[4].running_var[0] = f32::NEG_INFINITY;
    let error = set(&bad).unwrap_err();
    let variance = StateError::Variance { index: 0, given: f32::NEG_INFINITY };
    assert_eq!(error, LayerStateError { layer: 4, error: variance });
    assert!(error.to_string().starts_with("layer 4: running_var[0]"), "{error}");
    assert_eq!(states(&norms), before);
    set(&good).unwrap();
    assert_eq!(states(&norms), good);
    set_states(&gpu().queue, &[]).unwrap();

    // A buffer of the caller's that cannot be written.
    let bare = gpu().device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 32,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let buffers = LayerBuffers::new().running_var(whole(&bare));
    let fixed = BatchNorm::with_buffers(context(), &descriptor(5), buffers).unwrap();
    let usage = LayerStateError { layer: 1, error: StateError::Usage { vector: Tensor::RunningVar } };
    good[0].num_batches_tracked += 1;
    let pairs = [(&norms[0], &good[0]), (&fixed, &good[0])];
    assert_eq!(set_states(&gpu().queue, &pairs).unwrap_err(), usage);
    let bytes = encode(&Names::PYTORCH, &[("bn", &good[0])], &[]).unwrap();
    let layers = [("bn", &norms[0]), ("bn", &fixed)];
    let error = Checkpoint::open(&bytes).unwrap().load(&gpu().queue, &Names::PYTORCH, &layers).unwrap_err();
    assert_eq!(error, LoadError::Layer(usage));
    good[0].num_batches_tracked -= 1;
    assert_eq!(states(&norms), good);
}

/// Submits work that takes long, and says when it is done.
fn long_work(gpu: &Gpu) -> Arc<AtomicBool> {
    const LEN: usize = 4 << 20;
    let (from, to) = (gpu.empty(LEN), gpu.empty(LEN));
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    for _ in 0..200 {
        encoder.copy_buffer_to_buffer(&from, 0, &to, 0, from.size());
        encoder.copy_buffer_to_buffer(&to, 0, &from, 0, from.size());
    }
    gpu.queue.submit([encoder.finish()]);
    let done = Arc::new(AtomicBool::new(false));
    let shared = done.clone();
    gpu.queue.on_submitted_work_done(move || shared.store(true, Ordering::SeqCst));
    done
}

#[test]
fn a_read_waits_for_its_own_submission_only() {
    // A device of its own, since other tests wait for all work on the shared one.
    let gpu = Gpu::new().unwrap();
    let [first, second] = [741, 742].map(|seed| state(64, seed));
    let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(64)).unwrap();
    norm.set_state(&gpu.queue, &first).unwrap();
    let reading = norm.read_state(&gpu.queue);
    // Submitted after the copy: it neither changes what is read nor delays it.
    norm.set_state(&gpu.queue, &second).unwrap();
    let done = long_work(&gpu);
    assert_eq!(pollster::block_on(reading).unwrap(), first);
    assert!(!done.load(Ordering::SeqCst), "the read has waited for work that was submitted later");
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(pollster::block_on(norm.read_state(&gpu.queue)).unwrap(), second);
}
