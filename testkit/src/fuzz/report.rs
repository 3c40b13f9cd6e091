//! What a run found.

use std::fmt::{Display, Formatter};

use serde::{Deserialize, Serialize};

/// What is wrong with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The library panicked.
    Panic,
    /// wgpu or naga refuse what was made.
    Validation,
    /// A result is further from the twin's than is promised, or a plan is not what it says.
    Mismatch,
    /// A byte outside of the bindings was touched.
    Outside,
    /// An ask was refused that is possible, or the other way round.
    Refusal,
}

impl Kind {
    /// Of a panic in a step that was checked: assertions of the testkit say what they miss.
    pub(super) fn of_panic(message: &str) -> Self {
        match message {
            _ if message.contains("is in no range") => Self::Outside,
            _ if message.contains("wgpu error") => Self::Validation,
            _ if message.contains("scaled error") || message.contains(" for ") => Self::Mismatch,
            _ => Self::Panic,
        }
    }
}

/// A case in which something is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The case's number.
    pub case: u64,
    pub kind: Kind,
    pub what: String,
}

/// A run, or several that were resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    pub adapter: String,
    /// The first case, and the one to go on with.
    pub from: u64,
    pub next: u64,
    pub seconds: f64,
    /// Plans that were asked for, and how many of these are impossible.
    pub planned: u64,
    pub refused: u64,
    /// Steps that were asked for, and how many of these are impossible.
    pub executed: u64,
    pub refused_steps: u64,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn new(seed: u64, from: u64) -> Self {
        Self {
            seed,
            adapter: "none".into(),
            from,
            next: from,
            seconds: 0.0,
            planned: 0,
            refused: 0,
            executed: 0,
            refused_steps: 0,
            findings: vec![],
        }
    }

    pub(super) fn find(&mut self, case: u64, kind: Kind, what: String) {
        self.findings.push(Finding { case, kind, what });
    }

    fn of(&self, kind: Kind) -> usize {
        self.findings.iter().filter(|finding| finding.kind == kind).count()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { seed, from, next, seconds, planned, refused, executed, refused_steps, .. } = self;
        writeln!(f, "adapter: {}", self.adapter)?;
        writeln!(f, "seed {seed}, cases {from} to {next}, {seconds:.0} s")?;
        writeln!(f, "{planned} plans, {refused} of them refused")?;
        writeln!(f, "{executed} steps with their backward, {refused_steps} of them refused")?;
        writeln!(
            f,
            "{} panics, {} validation errors, {} mismatches, {} writes outside, {} wrong refusals",
            self.of(Kind::Panic),
            self.of(Kind::Validation),
            self.of(Kind::Mismatch),
            self.of(Kind::Outside),
            self.of(Kind::Refusal)
        )?;
        self.findings.iter().try_for_each(|Finding { case, kind, what }| {
            writeln!(f, "case {case}: {kind:?}: {}", what.chars().take(2000).collect::<String>())
        })
    }
}
