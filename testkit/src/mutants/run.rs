//! Runs tests on a mutant.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Mutant, VARIABLE};

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// naga refuses it: it is not counted.
    Refused,
    /// This test fails, or its process ends.
    Killed(String),
    /// The tests took too long: it is killed.
    TimedOut,
    /// No test fails in so many stages.
    Survived(usize),
}

/// Parts of the names of tests. A stage runs those that it names but for those of the stages before. All have "" in them.
pub type Stages = Vec<Vec<&'static str>>;

/// How tests are run.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The program of the tests, built to read mutants.
    pub tests: PathBuf,
    /// Tests that are left out.
    pub skipped: Vec<String>,
    pub threads: usize,
    /// For each stage.
    pub timeout: Duration,
    /// Where the mutant's file goes.
    pub folder: PathBuf,
}

impl Runner {
    /// The verdict on a mutant that survived the first `begin` of these stages. `check` is the command that exits with 0
    /// where naga accepts it.
    ///
    /// # Errors
    /// Where a file cannot be written or a process not started.
    pub fn run(
        &self,
        mutant: &Mutant,
        stages: &Stages,
        begin: usize,
        check: &mut Command,
    ) -> std::io::Result<Verdict> {
        let path = self.folder.join(mutant.file.file_name().expect("a file's name"));
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(&path, &mutant.text)?;
        if !check.env(VARIABLE, &path).stderr(Stdio::null()).status()?.success() {
            return Ok(Verdict::Refused);
        }
        for stage in begin..stages.len() {
            if stages[stage].is_empty() {
                continue;
            }
            if let Some(verdict) = self.stage(&stages[..=stage], &path)? {
                return Ok(verdict);
            }
        }
        Ok(Verdict::Survived(stages.len()))
    }

    /// The verdict, where there is one after the last of these stages.
    fn stage(&self, stages: &[Vec<&'static str>], path: &Path) -> std::io::Result<Option<Verdict>> {
        let (wanted, earlier) = stages.split_last().expect("a stage");
        let mut command = Command::new(&self.tests);
        command.args(["--test-threads", &self.threads.to_string()]).env(VARIABLE, path).args(wanted);
        let earlier = earlier.iter().flatten().copied();
        for skipped in self.skipped.iter().map(String::as_str).chain(earlier) {
            command.args(["--skip", skipped]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let verdict = self.watch(&mut child);
        // It may have ended already.
        let _ = child.kill();
        child.wait()?;
        Ok(verdict)
    }

    fn watch(&self, child: &mut Child) -> Option<Verdict> {
        let lines = lines_of(child);
        let end = Instant::now() + self.timeout;
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(test) = failed(&line) {
                        return Some(Verdict::Killed(test.to_owned()));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Some(Verdict::TimedOut),
                Err(RecvTimeoutError::Disconnected) => {
                    let passed = child.wait().is_ok_and(|status| status.success());
                    return (!passed).then(|| Verdict::Killed("the process of the tests ends".into()));
                }
            }
        }
    }
}

/// What a process prints, until it ends.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The test that a line of libtest says failed.
fn failed(line: &str) -> Option<&str> {
    let name = line.strip_suffix(" ... FAILED")?.strip_prefix("test ")?;
    // With a note behind it, where a panic is expected.
    name.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_failed_tests() {
        assert_eq!(failed("test parity::planes ... FAILED"), Some("parity::planes"));
        assert_eq!(failed("test a::b - should panic ... FAILED"), Some("a::b"));
        assert_eq!(failed("test parity::planes ... ok"), None);
        assert_eq!(failed("test result: FAILED. 1 passed"), None);
    }
}
