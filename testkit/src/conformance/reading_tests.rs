//! That files are read as they are, and errors name what is wrong.

use std::collections::BTreeMap;

use safetensors::Dtype;
use wgpu_batchnorm::{Activation, Epilogue, StorageType};

use super::case::{Case, Format};
use super::encode::encode;
use super::file::File;
use super::files::{data, references};
use super::read::read;
use super::tensor::{Result, Tensor};
use crate::layout::Layout;

type Tensors = BTreeMap<String, Tensor>;
type Metadata = BTreeMap<String, String>;

/// A reference file, changed.
fn changed(name: &str, change: impl Fn(&mut Tensors, &mut Metadata)) -> Result<Case> {
    let path = data().join(format!("{name}.safetensors"));
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let file = File::open(&bytes)?;
    let mut tensors = Tensors::new();
    for name in file.tensors.names() {
        tensors.insert(name.into(), file.tensor(name)?);
    }
    let mut metadata = file.metadata.clone();
    change(&mut tensors, &mut metadata);
    read(&encode(&tensors, &metadata)?)
}

fn error(name: &str, change: impl Fn(&mut Tensors, &mut Metadata)) -> String {
    changed(name, change).err().unwrap_or_default()
}

#[test]
fn every_layout_and_option_is_read() -> Result<()> {
    let case = changed("pytorch-extra/ndhwc_2x3x5x4x3_mnone", |_, _| {})?;
    assert_eq!((case.features, &case.positions[..], case.momentum), (3, &[3, 5, 4][..], None));
    assert_eq!(case.layout(2), Layout { outer: 120, features: 3, inner: 1 });
    assert_eq!(case.shape(4), [4, 3, 5, 4, 3]);
    assert_eq!(case.buffers.as_ref().map(|buffers| buffers.batches), Some(3));

    let case = changed("pytorch/steps5_nchw_mnone", |_, _| {})?;
    let batches: Vec<usize> = case.steps.iter().map(|input| input.batch).collect();
    assert_eq!((&batches[..], case.suffix(3).as_str()), (&[2, 4, 1, 3, 2][..], ".3"));
    assert_eq!(case.layout(3), Layout { outer: 3, features: 4, inner: 15 });
    assert_eq!(case.truth["dx.2"].shape, [1, 4, 3, 5]);

    let case = changed("pytorch/nc_64x3_noaffine_notrack", |_, _| {})?;
    assert!(case.weight.is_none() && case.buffers.is_none() && !case.truth.contains_key("dweight"));

    let case = changed("onnx/test_batchnorm_epsilon_training_mode", |_, _| {})?;
    assert_eq!((case.format, case.steps.len(), case.evaluation.is_some()), (Format::Onnx, 1, false));
    assert!(
        !case.is_extended()
            && case.truth.contains_key("output_var")
            && case.stored.contains_key("output_var")
    );
    Ok(())
}

#[test]
fn what_extended_cases_add_is_read() -> Result<()> {
    let case = changed("extended/x_nchw_3x4x5x5_bf16_add_relu", |_, _| {})?;
    let (step, evaluation) = (&case.steps[0], case.evaluation.as_ref().unwrap());
    assert_eq!((case.storage, case.shape(step.batch)), (StorageType::BFloat16, vec![3, 4, 5, 5]));
    assert_eq!((case.epilogue.activation, case.epilogue.residual), (Activation::Relu, true));
    assert_eq!(step.z.as_ref().map(Vec::len), Some(300));
    assert!(evaluation.z.is_some() && case.truth.contains_key("eval_dz"));

    let case = changed("extended/x_ncl_5x4x11_lengths", |_, _| {})?;
    let valid = case.steps[0].valid.as_ref().unwrap();
    assert!(valid.len() == 55 && valid[..11].iter().all(|valid| *valid) && valid[44] && !valid[45]);
    assert!(case.evaluation.is_some_and(|evaluation| evaluation.valid.is_none()));

    let case = changed("extended/x_nchw_6x3x7x7_f16_parts", |_, _| {})?;
    assert_eq!((case.storage, &case.steps[0].parts[..]), (StorageType::Float16, &[1, 2, 3][..]));
    assert_eq!((case.epilogue, &case.steps[0].valid), (Epilogue::default(), &None));
    for path in references("extended") {
        let case = read(&std::fs::read(&path).map_err(|error| error.to_string())?)?;
        assert!(case.is_extended(), "{}", case.name);
    }
    Ok(())
}

#[test]
fn what_an_extended_case_cannot_be_is_named() {
    let with = |key: &str, value: &str| {
        error("extended/x_nchw_6x3x7x7_f16_parts", |_, metadata| {
            metadata.insert(key.into(), value.into());
        })
    };
    assert_eq!(with("format", "3"), "format: required 2, given 3");
    assert_eq!(with("dtype", "f8"), "dtype: required f32, f16 or bf16, given f8");
    assert_eq!(with("epilogue", "tanh"), "epilogue: required none, relu or add_relu, given tanh");
    assert_eq!(with("dtype", "bf16"), "tensor x: required BF16 [6, 3, 7, 7], given F16 [6, 3, 7, 7]");
    assert_eq!(with("epilogue", "add_relu"), "tensor z is missing");
    for parts in ["1,2", "1,2,3,1", "1,x,3", "1,-1,6", "18446744073709551615,7"] {
        let required = "parts: required sizes between commas that add up to 6";
        assert_eq!(with("parts", parts), format!("{required}, given {parts}"));
    }
    let mask = |change: fn(&mut Tensor)| {
        error("extended/x_ncl_2x3x8_mask_one", |tensors, _| change(tensors.get_mut("mask").unwrap()))
    };
    assert_eq!(mask(|mask| mask.values[3] = 2.0), "mask: required 0 and 1, given 2");
    assert_eq!(mask(|mask| mask.shape = vec![16]), "tensor mask: required U8 [2, 8], given U8 [16]");
}

#[test]
fn onnx_truth_agrees_with_what_is_stored() -> Result<()> {
    let case = changed("onnx/test_batchnorm_example_training_mode", |_, _| {})?;
    for (name, stored) in &case.stored {
        for (a, b) in case.truth[name].values.iter().zip(&stored.values) {
            assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
        }
    }
    Ok(())
}

#[test]
fn a_formula_that_was_not_replayed_exactly_is_an_error() {
    let name = "pytorch-extra/nhwc_9x40x41x33_sampled";
    let message = error(name, |_, metadata| {
        metadata.insert("checksum_dy".into(), "12".into());
    });
    assert!(message.starts_with("checksum of dy: required 12 by the file, given "), "{message}");
    let message = error(name, |_, metadata| {
        metadata.insert("seed_xe".into(), "1".into());
    });
    assert!(message.starts_with("checksum of xe: "), "{message}");
    let message = error(name, |tensors, _| {
        if let Some(index) = tensors.get_mut("sample_index") {
            index.values[5] = 487_080.0;
        }
    });
    assert_eq!(message, "sample_index: required indices below 487080, given 487080");
}

#[test]
fn inputs_that_are_missing_are_named() -> Result<()> {
    let case = changed("pytorch/steps5_nc", |tensors, _| {
        tensors.remove("dy.1");
        tensors.remove("xe");
    })?;
    let skipped: Vec<&str> = case.skipped.iter().map(|(name, _)| &**name).collect();
    assert_eq!(skipped, ["dx.1", "dweight.1", "dbias.1", "y_eval", "eval_dx", "eval_dweight", "eval_dbias"]);
    assert_eq!(case.skipped[0].1, "the file has no dy.1");
    for name in ["x", "weight", "running_var_in", "num_batches_tracked_in"] {
        let message = error("pytorch/nc_3x3", |tensors, _| {
            tensors.remove(name);
        });
        assert_eq!(message, format!("tensor {name} is missing"));
    }
    Ok(())
}

#[test]
fn bad_metadata_is_an_error_that_names_it() {
    let with = |key: &str, value: &str| {
        error("pytorch/nchw_2x3x5x7", |_, metadata| {
            metadata.insert(key.into(), value.into());
        })
    };
    assert_eq!(with("format_version", "2"), "format_version: required 1, given 2");
    assert_eq!(with("features", "4"), "features: required 3 by the shape, given 4");
    assert_eq!(with("shape", "2,3,5"), "shape: required 4 axes for layout nchw, given 2,3,5");
    assert_eq!(with("shape", "2,3,5,-7"), "shape: required sizes between commas, given 2,3,5,-7");
    assert_eq!(with("shape", "2,3,5,0"), "shape: required 1 to 2147483648 values, given [2, 3, 5, 0]");
    assert_eq!(with("eps", "small"), "metadata eps: required a f64, given small");
    assert_eq!(with("affine", "yes"), "metadata affine: required a bool, given yes");
    assert_eq!(with("steps", "2"), "tensor x.0 is missing");
    assert_eq!(with("storage", "half"), "storage: required full or sampled, given half");
    assert!(with("layout", "cnhw").contains("given cnhw"));
    assert!(
        with("shape", "2,3,5,8").starts_with("tensor x: required F32 [2, 3, 5, 8], given F32 [2, 3, 5, 7]")
    );
    let huge = format!("{0},{0},{0},{0}", usize::MAX);
    assert!(with("shape", &huge).contains("given [18446744073709551615, "));
    let unknown = error("pytorch/nc_3x3", |_, metadata| metadata.clear());
    assert!(unknown.starts_with("unknown kind of file"), "{unknown}");
}

#[test]
fn damaged_files_are_errors() -> Result<()> {
    let path = data().join("pytorch/nc_3x3.safetensors");
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    for length in [0, 7, 8, 100, bytes.len() - 1] {
        let message = read(&bytes[..length]).err().unwrap_or_default();
        assert!(message.starts_with("not a safetensors file"), "{length}: {message}");
    }
    assert!(read(&[255; 64]).is_err());
    let message = error("pytorch/nc_3x3", |tensors, _| {
        if let Some(x) = tensors.get_mut("x") {
            x.dtype = Dtype::F64;
        }
    });
    assert_eq!(message, "tensor x: required F32 [3, 3], given F64 [3, 3]");
    Ok(())
}
