//! The reference files of tests/data.

use std::path::{Path, PathBuf};

use super::case::Case;
use super::compare::compare;
use super::read::read;
use super::results::Results;
use super::tensor::Result;

/// The folder that holds them.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data")
}

/// All files in a folder of them.
pub fn references(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    files.sort();
    files
}

/// Runs all cases of a folder, which has so many, and fails where a result is wrong or nothing was compared.
#[track_caller]
pub fn assert_passes(folder: &str, files: usize, run: impl Fn(&Case) -> Result<Results>) {
    let references = references(folder);
    assert_eq!(references.len(), files, "files in {folder}");
    for path in references {
        let case = read(&std::fs::read(&path).unwrap()).unwrap();
        let report = compare(&case, &run(&case).unwrap());
        let (notes, note) = (report.notes.join("; "), case.metadata.get("note"));
        for row in &report.rows {
            let (name, tensor, outcome) = (&case.name, &row.tensor, row.outcome);
            assert!(!row.failed(), "{name}: {tensor}: {outcome:?} {} ({notes}; {note:?})", row.note);
        }
        assert!(report.passed(), "{}: nothing compared", case.name);
    }
}
