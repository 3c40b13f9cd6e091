//! Records of burn and files of PyTorch.

use std::path::PathBuf;

use burn::module::{Module, Param};
use burn::nn;
use burn::store::{ModuleRecord, ModuleSnapshot, PytorchStore};
use burn::tensor::Tensor;
use burn_batchnorm::{BatchNorm, BatchNormConfig};

use crate::support::{device, normal, ours, plain, tensor, theirs, values};

const AXES: [usize; 3] = [6, 4, 5];

/// gamma, beta, running mean and running variance.
fn state(norm: &BatchNorm) -> [Vec<f32>; 4] {
    let [mean, var] = [&norm.running_mean, &norm.running_var].map(|state| values(state.value_sync()));
    [values(norm.gamma.val()), values(norm.beta.val()), mean, var]
}

fn trained() -> BatchNorm {
    let norm = ours(&BatchNormConfig::new(4), &device());
    norm.forward(tensor(&normal(AXES.iter().product(), 71, 2.0), AXES, &device()));
    state(&norm);
    norm
}

#[test]
fn records_are_burns_in_both_directions() {
    let norm = trained();
    let bytes = norm.clone().into_record().into_bytes().unwrap();
    let burns = theirs(4, &device()).load_record(ModuleRecord::from_bytes(bytes).unwrap());
    let [gamma, beta, mean, var] = state(&norm);
    assert_eq!(values(burns.gamma.val()), gamma);
    assert_eq!(values(burns.beta.val()), beta);
    assert_eq!(values(burns.running_mean.value_sync()), mean);
    assert_eq!(values(burns.running_var.value_sync()), var);

    let bytes = burns.into_record().into_bytes().unwrap();
    let back = BatchNormConfig::new(4).init(&device()).load_record(ModuleRecord::from_bytes(bytes).unwrap());
    assert_eq!(state(&back), state(&norm));
}

#[test]
fn a_record_goes_through_a_file() {
    let (norm, folder) = (trained(), tempfile::tempdir().unwrap());
    let path = folder.path().join("norm.bpk");
    norm.clone().into_record().save(&path).unwrap();
    let record = ModuleRecord::load(&path).unwrap();
    let loaded = BatchNormConfig::new(4).with_relu(true).init(&device()).load_record(record);
    assert_eq!(state(&loaded), state(&norm));
    assert!(loaded.relu, "options are the module's and not the record's");
    let other = ModuleRecord::load(&path).unwrap();
    assert!(BatchNormConfig::new(5).init(&device()).try_load_record(other).is_err(), "other features");
}

/// A network with the names that PyTorch gives the children of `nn.Sequential(Linear, BatchNorm1d)`.
#[derive(Module, Debug)]
struct Blocks {
    linear: nn::Linear,
    norm: BatchNorm,
}

fn blocks(features: usize) -> Blocks {
    let vector = |value: f32| Param::from_tensor(Tensor::<1>::full([features], value, &plain()));
    let norm = BatchNormConfig::new(features).init(&plain());
    let norm = BatchNorm { gamma: vector(5.0), beta: vector(6.0), ..norm };
    Blocks { linear: nn::LinearConfig::new(features, features).init(&plain()), norm }
}

fn data(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(file)
}

/// A state_dict that PyTorch wrote of an untrained network.
#[test]
fn a_file_of_pytorch() {
    let mut blocks = blocks(2);
    let mut store = PytorchStore::from_file(data("full_model_state_dict.pt"))
        .with_regex(r"^(linear|norm)\.")
        .with_key_remapping(r"^blocks\.0\.", "linear.")
        .with_key_remapping(r"^blocks\.1\.", "norm.");
    blocks.load_from(&mut store).unwrap();
    assert_eq!(state(&blocks.norm), [[1.0; 2], [0.0; 2], [0.0; 2], [1.0; 2]]);
    let bias = values(blocks.linear.bias.unwrap().val());
    assert_eq!(bias, [0.07482187, 0.6402684]);
}

/// The same format with values that tell the four vectors apart.
#[test]
fn a_file_of_pytorchs_format() {
    let mut blocks = blocks(3);
    let mut store = PytorchStore::from_file(data("trained.pt"))
        .with_key_remapping(r"^0\.", "linear.")
        .with_key_remapping(r"^1\.", "norm.");
    blocks.load_from(&mut store).unwrap();
    let want = [[1.5, -2.0, 0.25], [0.5, 3.0, -1.25], [10.0, -4.5, 0.125], [2.0, 0.75, 9.0]];
    assert_eq!(state(&blocks.norm), want);
    // And it evaluates with them.
    let y = values(blocks.norm.forward(tensor(&[10.0, -4.5, 0.125], [1, 3], &plain())));
    assert_eq!(y, [0.5, 3.0, -1.25]);
}
