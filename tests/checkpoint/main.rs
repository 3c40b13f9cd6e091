//! States as named tensors, and checkpoints, as far as they need no device.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use testkit::conformance::files::data;
use testkit::random::state;
use wgpu_batchnorm::checkpoint::{Checkpoint, LoadError, SaveError, encode};
use wgpu_batchnorm::{Names, State, StateTensor, Tensor, TensorError};

mod damaged;

type Stored = (Dtype, Vec<usize>, Vec<u8>);

fn f32s(values: &[f32]) -> Stored {
    (Dtype::F32, vec![values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn count(count: i64, shape: &[usize]) -> Stored {
    (Dtype::I64, shape.to_vec(), count.to_le_bytes().to_vec())
}

/// A file of tensors, written by the library.
fn file(tensors: &BTreeMap<String, Stored>) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize(views, None).unwrap()
}

/// The tensors of a layer of three features.
fn layer(prefix: &str) -> BTreeMap<String, Stored> {
    [
        ("weight", f32s(&[1.5, -2.0, 0.25])),
        ("bias", f32s(&[0.5, 0.0, -1.0])),
        ("running_mean", f32s(&[3.0, -4.0, 5.0])),
        ("running_var", f32s(&[1.0, 0.0, 9.0])),
        ("num_batches_tracked", count(7, &[])),
    ]
    .map(|(name, tensor)| (format!("{prefix}{name}"), tensor))
    .into()
}

fn layers_state() -> State {
    State {
        weight: vec![1.5, -2.0, 0.25],
        bias: vec![0.5, 0.0, -1.0],
        running_mean: vec![3.0, -4.0, 5.0],
        running_var: vec![1.0, 0.0, 9.0],
        num_batches_tracked: 7,
    }
}

#[test]
fn names_of_frameworks() {
    let tensors = [Tensor::Weight, Tensor::Bias, Tensor::RunningMean, Tensor::RunningVar, Tensor::Batches];
    for (names, want) in [
        (Names::PYTORCH, "a.b.weight a.b.bias a.b.running_mean a.b.running_var a.b.num_batches_tracked"),
        (Names::KERAS, "a.b/gamma a.b/beta a.b/moving_mean a.b/moving_variance"),
        (Names::FLAX, "a.b.scale a.b.bias a.b.mean a.b.var"),
        (Names::ONNX, "a.b.scale a.b.B a.b.input_mean a.b.input_var"),
        (
            Names::ONNX.separator("_bn_").bias("offset"),
            "a.b_bn_scale a.b_bn_offset a.b_bn_input_mean a.b_bn_input_var",
        ),
    ] {
        let given: Vec<String> = tensors.iter().filter_map(|tensor| names.name("a.b", *tensor)).collect();
        assert_eq!(given.join(" "), want);
        let bare = names.name("", Tensor::RunningVar).unwrap();
        assert!(want.contains(&bare) && !bare.contains(['.', '/']), "{bare}");
        assert_eq!(names.name("a.b", Tensor::Input), None);

        // Written and read under these names.
        let state = State { num_batches_tracked: 0, ..state(5, 1) };
        for prefix in ["", "x", "x.y"] {
            let bytes = encode(&names, &[(prefix, &state)], &[]).unwrap();
            let checkpoint = Checkpoint::open(&bytes).unwrap();
            assert_eq!(checkpoint.prefixes(&names), [prefix]);
            assert_eq!(checkpoint.state(&names, prefix).unwrap(), state);
        }
    }
}

#[test]
fn tensors_of_a_state() {
    let full = State { num_batches_tracked: 9, ..state(4, 2) };
    let names: Vec<_> = full.tensors().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]);
    let shapes: Vec<_> = full.tensors().iter().map(|(_, tensor)| tensor.shape()).collect();
    assert_eq!(shapes, [vec![4], vec![4], vec![4], vec![4], vec![]]);
    for part in [
        full.clone(),
        State { weight: vec![], ..full.clone() },
        State { weight: vec![], bias: vec![], ..full.clone() },
        State { running_mean: vec![], running_var: vec![], num_batches_tracked: 0, ..full.clone() },
        State { num_batches_tracked: u64::from(u32::MAX) + 5, ..full.clone() },
        State::default(),
    ] {
        assert_eq!(State::from_tensors(part.tensors()).unwrap(), part);
        let mut reversed = part.tensors();
        reversed.reverse();
        assert_eq!(State::from_tensors(reversed).unwrap(), part);
    }
    let uncounted = full.tensors().into_iter().filter(|(name, _)| *name != "num_batches_tracked");
    assert_eq!(State::from_tensors(uncounted).unwrap(), State { num_batches_tracked: 0, ..full.clone() });
    let beyond = State { num_batches_tracked: u64::MAX, ..full };
    assert_eq!(beyond.tensors()[4].1, StateTensor::Count(i64::MAX));
}

#[test]
fn tensors_that_are_no_state() {
    let error = |tensors: &[(&str, StateTensor<'static>)]| {
        State::from_tensors(tensors.iter().map(|(name, tensor)| (name, tensor.clone()))).unwrap_err()
    };
    let vector = |values: &[f32]| StateTensor::from(values.to_vec());
    let two = || vector(&[1.0, 2.0]);
    let tensor = |name: &str| name.to_owned();
    assert_eq!(error(&[("gamma", two())]), TensorError::Unknown { tensor: tensor("gamma") });
    assert_eq!(error(&[("bias", two()), ("bias", two())]), TensorError::Duplicate { tensor: tensor("bias") });
    assert_eq!(
        error(&[("weight", two()), ("bias", vector(&[1.0]))]),
        TensorError::Length { tensor: tensor("bias"), required: 2, given: 1 }
    );
    assert_eq!(
        error(&[("weight", vector(&[]))]),
        TensorError::Length { tensor: tensor("weight"), required: 1, given: 0 }
    );
    assert_eq!(error(&[("running_mean", two())]), TensorError::Missing { tensor: tensor("running_var") });
    assert_eq!(error(&[("running_var", two())]), TensorError::Missing { tensor: tensor("running_mean") });
    assert_eq!(
        error(&[("running_mean", two()), ("running_var", vector(&[1.0, -0.5]))]),
        TensorError::Variance { tensor: tensor("running_var"), index: 1, given: -0.5 }
    );
    assert_eq!(
        error(&[("bias", two()), ("num_batches_tracked", StateTensor::Count(3))]),
        TensorError::Missing { tensor: tensor("running_mean") }
    );
    assert_eq!(
        error(&[("num_batches_tracked", StateTensor::Count(-3))]),
        TensorError::Count { tensor: tensor("num_batches_tracked"), given: -3 }
    );
    assert_eq!(
        error(&[("num_batches_tracked", two())]),
        TensorError::Kind { tensor: tensor("num_batches_tracked"), required: "a count" }
    );
    assert_eq!(
        error(&[("weight", StateTensor::Count(1))]),
        TensorError::Kind { tensor: tensor("weight"), required: "a vector" }
    );
}

#[test]
fn files_that_pytorch_wrote() {
    // With an empty prefix, and with tensors that are none of the layer's.
    for (name, affine) in [("nc_17x16", true), ("nc_17x16_noaffine", false)] {
        let bytes = std::fs::read(data().join(format!("pytorch/{name}.safetensors"))).unwrap();
        let checkpoint = Checkpoint::open(&bytes).unwrap();
        assert_eq!(checkpoint.prefixes(&Names::PYTORCH), [""]);
        let state = checkpoint.state(&Names::PYTORCH, "").unwrap();
        let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let expected = |name| match reference.tensor(name) {
            Ok(view) => {
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
            }
            Err(_) => vec![],
        };
        assert_eq!((state.weight.len(), state.running_var.len()), (if affine { 16 } else { 0 }, 16));
        assert_eq!((state.weight, state.bias), (expected("weight"), expected("bias")));
        assert_eq!(
            (state.running_mean, state.running_var),
            (expected("running_mean"), expected("running_var"))
        );
        assert_eq!(state.num_batches_tracked, 1);
    }
    // The names of an ONNX model's tensors.
    let bytes = std::fs::read(data().join("onnx/test_BatchNorm2d_eval.safetensors")).unwrap();
    let names = Names::ONNX.weight("s").bias("bias").running_mean("mean").running_var("var");
    let state = Checkpoint::open(&bytes).unwrap().state(&names, "").unwrap();
    assert_eq!([&state.weight, &state.bias, &state.running_mean, &state.running_var].map(Vec::len), [3; 4]);
}

#[test]
fn types_of_vectors_and_shapes_of_counts() {
    let values = [1.5f32, -2.0, 0.25];
    let bytes = |bytes: Vec<Vec<u8>>| bytes.concat();
    for (dtype, data) in [
        (Dtype::F16, bytes(values.map(|v| half::f16::from_f32(v).to_le_bytes().to_vec()).to_vec())),
        (Dtype::BF16, bytes(values.map(|v| half::bf16::from_f32(v).to_le_bytes().to_vec()).to_vec())),
        (Dtype::F64, bytes(values.map(|v| f64::from(v).to_le_bytes().to_vec()).to_vec())),
    ] {
        for shape in [vec![], vec![1]] {
            let mut tensors = layer("bn.");
            tensors.insert("bn.weight".into(), (dtype, vec![3], data.clone()));
            tensors.insert("bn.num_batches_tracked".into(), count(7, &shape));
            let bytes = file(&tensors);
            assert_eq!(
                Checkpoint::open(&bytes).unwrap().state(&Names::PYTORCH, "bn").unwrap(),
                layers_state()
            );
        }
    }
    // A float64 is rounded to the nearest float32; infinities and NaN stay what they are, as in a float32.
    let doubles = [1.0 + 1e-9, f64::INFINITY, f64::NAN];
    let mut tensors = layer("bn.");
    let data = doubles.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensors.insert("bn.weight".into(), (Dtype::F64, vec![3], data));
    tensors.remove("bn.num_batches_tracked");
    let bytes = file(&tensors);
    let state = Checkpoint::open(&bytes).unwrap().state(&Names::PYTORCH, "bn").unwrap();
    assert_eq!((state.weight[0], state.weight[1], state.num_batches_tracked), (1.0, f32::INFINITY, 0));
    assert!(state.weight[2].is_nan());
}

#[test]
fn what_is_written() {
    let (a, b) = (layers_state(), State { weight: vec![], bias: vec![], ..state(2, 3) });
    let other = [1.0f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat();
    let view = TensorView::new(Dtype::F32, vec![2, 2], &other).unwrap();
    let bytes =
        encode(&Names::PYTORCH, &[("bn", &a), ("layer1.0.bn", &b)], &[("fc.weight", view.clone())]).unwrap();
    assert_eq!(
        bytes,
        encode(&Names::PYTORCH, &[("layer1.0.bn", &b), ("bn", &a)], &[("fc.weight", view)]).unwrap()
    );
    let written = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = written.names();
    names.sort_unstable();
    assert_eq!(
        names.join(" "),
        "bn.bias bn.num_batches_tracked bn.running_mean bn.running_var bn.weight fc.weight \
         layer1.0.bn.num_batches_tracked layer1.0.bn.running_mean layer1.0.bn.running_var"
    );
    let count = written.tensor("bn.num_batches_tracked").unwrap();
    assert_eq!((count.dtype(), count.shape(), count.data()), (Dtype::I64, &[][..], &7i64.to_le_bytes()[..]));
    let weight = written.tensor("bn.weight").unwrap();
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[3][..]));

    let checkpoint = Checkpoint::open(&bytes).unwrap();
    assert_eq!(checkpoint.prefixes(&Names::PYTORCH), ["bn", "layer1.0.bn"]);
    assert_eq!(checkpoint.state(&Names::PYTORCH, "bn").unwrap(), a);
    assert_eq!(checkpoint.state(&Names::PYTORCH, "layer1.0.bn").unwrap(), b);
    assert_eq!(checkpoint.values("fc.weight", &[2, 2]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!((checkpoint.shape("fc.weight"), checkpoint.shape("fc.bias")), (Some(&[2, 2][..]), None));
    assert_eq!(
        checkpoint.values("fc.weight", &[4]).unwrap_err(),
        LoadError::Shape { tensor: "fc.weight".into(), required: vec![4], given: vec![2, 2] }
    );
    assert_eq!(
        checkpoint.values("fc.bias", &[2]).unwrap_err(),
        TensorError::Missing { tensor: "fc.bias".into() }.into()
    );
    assert_eq!(
        encode(&Names::PYTORCH, &[("bn", &a), ("bn", &b)], &[]).unwrap_err(),
        SaveError::Duplicate { tensor: "bn.running_mean".into() }
    );
}

#[test]
fn states_with_serde() {
    let full = State { num_batches_tracked: 1 << 40, ..state(6, 4) };
    let text = serde_json::to_string(&full).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), full);
    assert!(text.contains("\"num_batches_tracked\":1099511627776"));
    let part = serde_json::from_str::<State>("{\"weight\":[1.0],\"bias\":[0.5]}").unwrap();
    assert_eq!(part, State { weight: vec![1.0], bias: vec![0.5], ..Default::default() });
}
