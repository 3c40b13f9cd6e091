//! That exact results pass, and that the errors a wrong layer makes do not.

use safetensors::Dtype;
use wgpu_batchnorm::StorageType;

use super::case::{Case, Format, Input};
use super::compare::{Outcome, compare};
use super::cpu;
use super::encode::encode as write;
use super::exact::{exact, gradients};
use super::file::File;
use super::files::{data, references};
use super::read;
use super::results::Results;
use super::statistics::Statistics;
use super::tensor::Result;
use crate::storage::{decode, encode};

fn read(name: &str) -> Result<Case> {
    let path = data().join(format!("{name}.safetensors"));
    read::read(&std::fs::read(path).map_err(|error| error.to_string())?)
}

/// Errors of a case's tensors after `spoil` has had the exact results.
fn failures(name: &str, spoil: impl Fn(&Case, &mut Results)) -> Result<Vec<String>> {
    let case = read(name)?;
    let mut results = if case.is_extended() { cpu::run(&case)? } else { exact(&case) };
    spoil(&case, &mut results);
    let report = compare(&case, &results);
    Ok(report.rows.iter().filter(|row| row.failed()).map(|row| row.tensor.clone()).collect())
}

#[test]
fn exact_results_pass_every_file() -> Result<()> {
    let mut files = 0;
    for folder in ["pytorch", "pytorch-extra", "onnx"] {
        for path in references(folder) {
            let case = read::read(&std::fs::read(&path).map_err(|e| e.to_string())?)?;
            let report = compare(&case, &exact(&case));
            for row in &report.rows {
                assert!(!row.failed(), "{}: {} {:?} {}", case.name, row.tensor, row.outcome, row.note);
                let training_only = case.format == Format::Onnx;
                let compared = row.outcome != Outcome::Skipped || training_only;
                assert!(compared, "{}: {} {}", case.name, row.tensor, row.note);
            }
            assert!(report.passed(), "{}", case.name);
            files += 1;
        }
    }
    assert!(files > 30 + 9, "{files}");
    Ok(())
}

#[test]
fn the_reference_passes_every_extended_file() -> Result<()> {
    for path in references("extended") {
        let case = read::read(&std::fs::read(&path).map_err(|e| e.to_string())?)?;
        let report = compare(&case, &cpu::run(&case)?);
        let compared = report.rows.iter().filter(|row| row.outcome != Outcome::Skipped && !row.failed());
        // Every tensor of the truth, and no other.
        let compared: Vec<&String> = compared.map(|row| &row.tensor).collect();
        assert_eq!(
            (compared.len(), report.rows.len()),
            (case.truth.len(), case.truth.len()),
            "{}",
            case.name
        );
        assert_eq!(case.truth.len(), if case.epilogue.residual { 15 } else { 13 }, "{}", case.name);
    }
    Ok(())
}

/// What is written can be read by whoever compares, in the types and under the names of the file.
#[test]
fn results_are_written_in_the_storage_type() -> Result<()> {
    for (name, dtype) in [
        ("extended/x_nchw_3x4x5x5_bf16_add_relu", Dtype::BF16),
        ("extended/x_nchw_6x3x7x7_f16_parts", Dtype::F16),
        ("extended/x_nhwc_6x4x4x10_parts_add_relu", Dtype::F32),
    ] {
        let case = read(name)?;
        let published = cpu::run(&case)?.publish(&case);
        let bytes = write(&published, &case.metadata)?;
        let file = File::open(&bytes)?;
        for (name, tensor) in &published {
            assert_eq!(&file.tensor(name)?, tensor, "{name}");
            assert_eq!(tensor.shape, case.truth[name].shape, "{name}");
            let stored = ["y", "dx", "dz", "y_eval", "eval_dx", "eval_dz"].contains(&&**name);
            let counts = name == "num_batches_tracked";
            let required = if stored {
                dtype
            } else if counts {
                Dtype::I64
            } else {
                Dtype::F32
            };
            assert_eq!(tensor.dtype, required, "{name}");
        }
    }
    Ok(())
}

/// The next value of a storage type, away from 0.
fn next(value: f32, storage: StorageType) -> f32 {
    let mut bytes = encode(&[value], storage);
    let bits = u16::from_le_bytes([bytes[0], bytes[1]]) + 1;
    bytes.copy_from_slice(&bits.to_le_bytes());
    decode(&bytes, storage)[0]
}

#[test]
fn a_stored_value_beside_the_nearest_is_found() -> Result<()> {
    for (name, storage) in [
        ("extended/x_nchw_4x6x8x8_f16", StorageType::Float16),
        ("extended/x_nhwc_2x5x5x12_bf16", StorageType::BFloat16),
    ] {
        let spoiled = failures(name, |case, results| {
            let Results { steps, evaluation } = results;
            // The values nearest to what is stored of them: their neighbours are nearly a unit away.
            let spoil = |name: &str, values: &mut [f32]| {
                let truth = &case.truth[name].values;
                let distance = |i: usize| ((f64::from(values[i]) - truth[i]) / truth[i]).abs();
                let large = (0..values.len()).filter(|&i| truth[i].abs() > 0.1);
                let nearest = large.min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
                values[nearest.unwrap()] = next(values[nearest.unwrap()], storage);
            };
            spoil("y", &mut steps[0].y);
            spoil("dx", steps[0].gradients.dx.as_mut().unwrap());
            spoil("y_eval", &mut evaluation.as_mut().unwrap().y);
        });
        assert_eq!(spoiled?, ["y", "dx", "y_eval"], "{name}");
        // Cut instead of rounded.
        let cut = failures(name, |case, results| {
            let bits = if storage == StorageType::Float16 { 13 } else { 16 };
            let y = case.truth["y"].values.iter();
            results.steps[0].y = y.map(|&y| f32::from_bits((y as f32).to_bits() >> bits << bits)).collect();
        });
        assert_eq!(cut?, ["y"], "{name}");
    }
    Ok(())
}

#[test]
fn what_is_wrong_in_the_options_is_found() -> Result<()> {
    // Padding that is not exactly 0.
    let padding = failures("extended/x_nhwc_2x5x5x7_mask_relu", |case, results| {
        let (layout, valid) = (case.layout(2), case.steps[0].valid.as_ref().unwrap());
        let padding = (0..results.steps[0].y.len()).find(|&i| !valid[layout.position(i)]).unwrap();
        results.steps[0].y[padding] = 1e-30;
        results.steps[0].gradients.dx.as_mut().unwrap()[padding] = 1e-30;
    });
    assert_eq!(padding?, ["y", "dx"]);
    // The gradient of the residual, not stopped by the rectifier.
    let residual = failures("extended/x_nhwc_3x4x4x20_add_relu", |case, results| {
        results.steps[0].gradients.dz.clone_from(&case.steps[0].dy);
    });
    assert_eq!(residual?, ["dz"]);
    // Statistics of the last part alone.
    let parts = failures("extended/x_nc_40x9_parts", |case, results| {
        let last = &case.steps[0].x[8 * 9..];
        let last = Statistics::of(&Input::new(32, last.to_vec(), None), case.layout(32));
        let round = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
        results.steps[0].batch = Some((round(&last.mean), round(&last.var)));
    });
    assert_eq!(parts?, ["batch_mean", "batch_var"]);
    // A variance of 0 / 0 of the one valid value.
    let one = failures("extended/x_ncl_2x3x8_mask_one", |_, results| {
        results.steps[0].buffers.as_mut().unwrap().var[1] = f32::NAN;
    });
    assert_eq!(one?, ["running_var"]);
    Ok(())
}

#[test]
fn the_smallest_error_beyond_the_tolerance_is_found() -> Result<()> {
    let spoil = |factor: f32| {
        failures("pytorch/nchw_4x16x8x8", move |_, results| {
            let y = &mut results.steps[0].y;
            let largest = y.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            y[77] += factor * largest;
        })
    };
    assert_eq!(spoil(3e-7)?, [""; 0]);
    assert_eq!(spoil(7e-7)?, ["y"]);
    Ok(())
}

#[test]
fn a_wrong_convention_is_found() -> Result<()> {
    // The biased variance in the running buffer.
    let biased = failures("pytorch/nc_1000x16", |case, results| {
        let var = Statistics::of(&case.steps[0], case.layout(1000)).var;
        if let (Some(before), Some(after)) = (&case.buffers, &mut results.steps[0].buffers) {
            for ((after, before), var) in after.var.iter_mut().zip(&before.var).zip(&var) {
                *after = 0.9 * before + 0.1 * *var as f32;
            }
        }
    });
    assert_eq!(biased?, ["running_var"]);
    // The gradient through constant statistics where they depend on x.
    let frozen = failures("pytorch/nc_17x16", |case, results| {
        let batch = Statistics::of(&case.steps[0], case.layout(17));
        results.steps[0].gradients = gradients(case, &case.steps[0], &batch.mean, &batch.var, true);
    });
    assert_eq!(frozen?, ["dx"]);
    let count = failures("pytorch/steps5_nc", |_, results| {
        if let Some(buffers) = &mut results.steps[3].buffers {
            buffers.batches += 1;
        }
    });
    assert_eq!(count?, ["num_batches_tracked.3"]);
    Ok(())
}

#[test]
fn the_rounding_of_simple_designs_is_found() -> Result<()> {
    // a·x + b in float32, at mean/std 1e4.
    let failed = failures("pytorch/nc_256x8_large_mean", |case, results| {
        let batch = Statistics::of(&case.steps[0], case.layout(256));
        for (i, y) in results.steps[0].y.iter_mut().enumerate() {
            let c = i % 8;
            let a = case.weight(c) / (batch.var[c] + case.eps).sqrt();
            *y = case.steps[0].x[i] * a as f32 + (case.bias(c) - a * batch.mean[c]) as f32;
        }
    });
    assert_eq!(failed?, ["y"]);
    // A constant whose mean is off by a rounding.
    let failed = failures("pytorch/nc_17x4_constant", |_, results| {
        (0..17).for_each(|row| results.steps[0].y[row * 4 + 2] += 1e-5);
    });
    assert_eq!(failed?, ["y", "y (constant features)"]);
    Ok(())
}

#[test]
fn non_finite_features_must_stay_so_and_alone() -> Result<()> {
    let finite = failures("pytorch/nc_16x7_nonfinite", |_, results| results.steps[0].y[1] = 0.0);
    assert_eq!(finite?, ["y"]);
    let spread = failures("pytorch/nc_16x7_nonfinite", |_, results| results.steps[0].y[2] = f32::NAN);
    assert_eq!(spread?, ["y"]);
    let infinite = failures("pytorch/nc_16x7_nonfinite", |_, results| results.steps[0].y[1] = f32::INFINITY);
    assert_eq!(infinite?, ["y"]);
    let kind = failures("pytorch/nc_16x7_nonfinite", |_, results| {
        if let Some(buffers) = &mut results.steps[0].buffers {
            buffers.mean[3] = f32::NAN;
        }
    });
    assert_eq!(kind?, [""; 0]);
    Ok(())
}

#[test]
fn a_variance_beyond_float32_is_reported_and_alone() -> Result<()> {
    let case = read("pytorch-extra/nc_64x4_overflow")?;
    let mut results = exact(&case);
    (0..64).for_each(|row| results.steps[0].y[row * 4] = f32::NAN);
    let report = compare(&case, &results);
    assert!(report.passed());
    let y = report.rows.iter().find(|row| row.tensor == "y");
    assert!(
        y.is_some_and(|row| row.note.contains("not representable") && row.note.contains("features 0, 2"))
    );
    results.steps[0].y[1] = f32::NAN;
    assert!(!compare(&case, &results).passed());
    Ok(())
}

#[test]
fn what_is_missing_is_named() -> Result<()> {
    let mut case = read("pytorch/nc_3x3")?;
    case.truth.remove("y");
    case.steps[0].dy = None;
    let mut results = exact(&case);
    results.evaluation = None;
    let report = compare(&case, &results);
    let skipped = |name: &str| {
        report
            .rows
            .iter()
            .find(|row| row.tensor == name && row.outcome == Outcome::Skipped)
            .map(|row| &*row.note)
    };
    assert_eq!(skipped("y"), Some("the file has no float64 truth of it"));
    assert_eq!(skipped("y_eval"), Some("the run gave no such result"));
    assert_eq!(skipped("dx"), Some("no result of the layer has this name"));
    assert!(report.passed());
    assert!(!compare(&case, &Results::default()).passed());
    Ok(())
}
