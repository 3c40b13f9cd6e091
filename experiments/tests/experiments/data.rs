//! Reading data: what the files of the repository hold, and clear errors for missing and damaged ones.

use std::fs;
use std::path::Path;

use batchnorm_experiments::data::{digits, idx, recorded_regression};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data");

/// A copy of the data that a test may damage.
fn copied() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(DATA).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    directory
}

fn damage(directory: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(directory.join(name)).unwrap();
    change(&mut bytes);
    fs::write(directory.join(name), bytes).unwrap();
}

#[track_caller]
fn assert_mentions<T>(result: anyhow::Result<T>, words: &[&str]) {
    let message = format!("{:#}", result.err().expect("this must be an error"));
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in {message:?}");
    }
}

#[test]
fn the_data_of_the_repository() {
    let task = digits(Path::new(DATA)).unwrap();
    assert_eq!((task.train.len(), task.test.len(), task.train.width, task.classes), (1437, 360, 64, 10));
    assert_eq!(task.test.labels[..3], [0, 5, 0]);
    let recorded = recorded_regression(Path::new(DATA)).unwrap();
    assert_eq!(recorded.task.layers.len(), 7);
    assert!((recorded.with.eval_loss - 2e-5).abs() < 1e-5 && (recorded.without.eval_loss - 0.5).abs() < 0.05);
}

#[test]
fn missing_files_are_named() {
    let empty = tempfile::tempdir().unwrap();
    assert_mentions(digits(empty.path()), &["digits_images.u8", "--data"]);
    assert_mentions(recorded_regression(empty.path()), &["seed_demo_s0.safetensors"]);
    assert_mentions(idx(empty.path()), &["train-images-idx3-ubyte"]);
}

#[test]
fn damaged_digits() {
    let data = copied();
    damage(data.path(), "digits_images.u8", |bytes| bytes.truncate(1000));
    assert_mentions(digits(data.path()), &["digits_images.u8", "115008", "1000"]);
    let data = copied();
    damage(data.path(), "digits_images.u8", |bytes| bytes[7] = 200);
    assert_mentions(digits(data.path()), &["byte 7 is 200"]);
    let data = copied();
    damage(data.path(), "digits_labels.u8", |bytes| bytes[3] = 10);
    assert_mentions(digits(data.path()), &["digits_labels.u8", "label 3 is 10"]);
    let data = copied();
    damage(data.path(), "digits_labels.u8", |bytes| bytes.push(0));
    assert_mentions(digits(data.path()), &["1797", "1798"]);
}

#[test]
fn damaged_recorded_regression() {
    let name = "seed_demo_s0.safetensors";
    let data = copied();
    damage(data.path(), name, |bytes| bytes.truncate(100_000));
    assert_mentions(recorded_regression(data.path()), &[name, "damaged"]);
    let data = copied();
    damage(data.path(), name, |bytes| {
        let at = bytes.windows(11).position(|w| w == b"lin3.weight").unwrap();
        bytes[at + 3] = b'9';
    });
    assert_mentions(recorded_regression(data.path()), &[name, "lin3.weight"]);
    let data = copied();
    damage(data.path(), name, |bytes| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert_mentions(recorded_regression(data.path()), &["tensor y", "not finite"]);
}

fn idx_images(count: u32, pixels: &[u8]) -> Vec<u8> {
    [&[0, 0, 8, 3], &count.to_be_bytes(), &2u32.to_be_bytes(), &3u32.to_be_bytes(), pixels].concat()
}

fn idx_labels(labels: &[u8]) -> Vec<u8> {
    [&[0, 0, 8, 1], &(labels.len() as u32).to_be_bytes()[..], labels].concat()
}

#[test]
fn idx_files() {
    let data = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(data.path().join(name), bytes).unwrap();
    let pixels: Vec<u8> = (0..18).collect();
    write("train-images-idx3-ubyte", idx_images(3, &pixels));
    write("train-labels-idx1-ubyte", idx_labels(&[2, 0, 6]));
    write("t10k-images-idx3-ubyte", idx_images(1, &pixels[..6]));
    write("t10k-labels-idx1-ubyte", idx_labels(&[1]));
    let task = idx(data.path()).unwrap();
    assert_eq!((task.train.width, task.train.len(), task.test.len(), task.classes), (6, 3, 1, 7));
    assert_eq!((task.train.pixels, task.train.labels), (pixels.clone(), vec![2, 0, 6]));

    write("t10k-labels-idx1-ubyte", idx_labels(&[1, 2]));
    assert_mentions(idx(data.path()), &["t10k-labels-idx1-ubyte", "1 labels were expected, not 2"]);
    write("train-images-idx3-ubyte", idx_images(4, &pixels));
    assert_mentions(idx(data.path()), &["announces [4, 2, 3]", "18 follow"]);
    write("train-images-idx3-ubyte", b"\x1f\x8b\x08\x00 compressed".to_vec());
    assert_mentions(idx(data.path()), &["uncompressed", "[31, 139, 8, 0]"]);
}
