//! PyTorch's and ONNX' reference files, by the rules of examples/conformance.

#[path = "../../examples/conformance/case.rs"]
mod case;
#[path = "../../examples/conformance/compare.rs"]
mod compare;
#[path = "../../examples/conformance/formula.rs"]
mod formula;
#[path = "../../examples/conformance/results.rs"]
mod results;
#[path = "../../examples/conformance/rules.rs"]
mod rules;
#[path = "../../examples/conformance/run.rs"]
mod run;
#[path = "../../examples/conformance/statistics.rs"]
mod statistics;

use crate::support::{context, gpu};

#[track_caller]
fn check(folder: &str, files: usize) {
    let folder = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let case = case::Case::read(&std::fs::read(&path).unwrap()).unwrap();
        let report = compare::compare(&case, &run::run(gpu(), context(), &case).unwrap());
        let (notes, note) = (report.notes.join("; "), case.metadata.get("note"));
        for row in &report.rows {
            let (name, tensor, outcome) = (&case.name, &row.tensor, row.outcome);
            assert!(!row.failed(), "{name}: {tensor}: {outcome:?} {} ({notes}; {note:?})", row.note);
        }
        assert!(report.passed(), "{}: nothing compared", case.name);
        checked += 1;
    }
    assert_eq!(checked, files, "files in {folder}");
}

#[test]
fn pytorch() {
    check("pytorch", 30);
}

#[test]
fn onnx() {
    check("onnx", 9);
}

#[test]
fn pytorch_channels_last_and_sampled() {
    check("pytorch-extra", EXTRA);
}

/// Files in tests/data/pytorch-extra.
const EXTRA: usize = 6;
