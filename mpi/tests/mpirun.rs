//! The digits example under mpirun: what ranks learn together, and that none waits for one that is gone. A test that takes
//! longer than its limit fails, and its processes are ended.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use safetensors::SafeTensors;
use wait_timeout::ChildExt;

/// Far more than any of these runs needs, also where four of them share two cores.
const LIMIT: Duration = Duration::from_secs(180);

/// How a run ended, and what it wrote.
struct Run {
    success: bool,
    output: String,
}

/// The example on so many ranks.
fn digits(ranks: usize, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut child = Command::new("mpirun")
        .args(["--allow-run-as-root", "--oversubscribe", "-n", &ranks.to_string()])
        // Over this limit mpirun ends its processes, and says so.
        .args(["--timeout", &LIMIT.as_secs().to_string()])
        .arg(example("digits"))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(file.try_clone().unwrap())
        .stdout(file)
        .spawn()
        .expect("mpirun must be there: apt-get install openmpi-bin");
    let status = child.wait_timeout(LIMIT + Duration::from_secs(20)).unwrap();
    let output = || std::fs::read_to_string(&log).unwrap();
    let Some(status) = status else {
        child.kill().unwrap();
        panic!("{arguments:?}: mpirun itself hangs: {}", output());
    };
    let output = output();
    assert!(!output.contains("time limit for job execution"), "{arguments:?} hangs: {output}");
    Run { success: status.success(), output }
}

/// Where cargo builds examples beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let file = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(file.exists(), "{} is missing: run all of `cargo test`, which builds it", file.display());
    file
}

/// What ranks with these shards have learned, in bytes of safetensors.
fn learned(shards: &[usize], arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digits.safetensors");
    let list = shards.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let all = [&["--shards", &list, "--save", file.to_str().unwrap()], arguments].concat();
    let run = digits(shards.len(), &all);
    assert!(run.success, "{}", run.output);
    assert!(run.output.contains("every rank has the same bits: true"), "{}", run.output);
    std::fs::read(file).unwrap()
}

fn values(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The largest difference of a tensor in the two files, as a share of the tensor's largest value.
fn difference(a: &[u8], b: &[u8]) -> f32 {
    let [a, b] = [a, b].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    assert_eq!(a.len(), 3 + 2 * 4);
    let of_tensor = |name: &&str| {
        let [a, b] = [&a, &b].map(|file| values(file, name));
        assert_eq!(a.len(), b.len());
        let largest = b.iter().fold(0.0f32, |largest, b| largest.max(b.abs()));
        a.iter().zip(&b).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
    };
    let differences: Vec<_> = a.names().iter().map(|name| (of_tensor(name), name.to_string())).collect();
    println!("{differences:?}");
    differences.into_iter().map(|(difference, _)| difference).fold(0.0, f32::max)
}

/// Of 69 batches, in which the weights move by a third of their size.
const ROUNDING: f32 = 5e-6;

#[test]
fn shards_learn_what_the_whole_batch_learns() {
    let whole = learned(&[60], &["--whole"]);
    for shards in [&[15, 15, 15, 15][..], &[20, 1, 0, 39], &[1, 59], &[60]] {
        let difference = difference(&learned(shards, &[]), &whole);
        println!("{shards:?}: {difference:e}");
        assert!(difference < ROUNDING, "{shards:?}: {difference:e}");
    }
    // What another batch makes of the same network is something else.
    let other = difference(&learned(&[20, 1, 0, 38], &[]), &whole);
    assert!(other > 0.1, "{other:e}");
}

#[test]
fn a_rerun_gives_the_same_bits() {
    let [first, second] = [0; 2].map(|_| learned(&[20, 1, 0, 39], &["--epochs", "1"]));
    assert!(first == second);
}

/// What the ranks wrote, where one of three fails.
fn failed(failure: &str, arguments: &[&str]) -> String {
    let failure = format!("1:{failure}");
    let run = digits(3, &[&["--fail", &failure], arguments].concat());
    assert!(!run.success, "{failure}: {}", run.output);
    assert!(!run.output.contains("accuracy"), "{failure}: {}", run.output);
    println!("{failure}: {}", run.output);
    run.output
}

/// The lines that ranks 0 and 2 say of the error.
fn assert_others_say(output: &str, error: &str) {
    for rank in [0, 2] {
        let line = format!("rank {rank}: error: {error}");
        assert!(output.contains(&line), "{line:?} is missing: {output}");
    }
}

#[test]
fn a_lost_device_is_an_error_on_all_ranks() {
    let output = failed("lost-device", &[]);
    assert!(output.contains("rank 1: error: "), "{output}");
    assert_others_say(&output, "another rank could not take part");
}

#[test]
fn a_rank_without_a_device_or_in_panic_leaves() {
    for failure in ["no-device", "panic"] {
        assert_others_say(&failed(failure, &[]), "the ranks could not exchange values: rank 1 has left");
    }
}

#[test]
fn a_process_that_ends_ends_all() {
    let output = failed("killed", &[]);
    assert!(output.contains("signal 6"), "{output}");
}

#[test]
fn a_rank_that_hangs_ends_all() {
    let output = failed("hang", &["--time-limit", "10"]);
    assert!(output.contains("has waited 10s for the others and ends all"), "{output}");
}
