//! What a run found, a line of JSON for each mutant.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Mutant, Rule, Verdict};

/// What became of a mutant, and how long that took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub mutant: String,
    pub rule: Rule,
    pub before: String,
    pub after: String,
    pub verdict: Verdict,
    pub seconds: f64,
}

impl Outcome {
    pub fn new(mutant: &Mutant, verdict: Verdict, seconds: f64) -> Self {
        let (before, after) = (mutant.before.clone(), mutant.after.clone());
        Self { mutant: mutant.to_string(), rule: mutant.rule, before, after, verdict, seconds }
    }

    /// The folder below shaders/ that the mutant's file is in.
    pub fn folder(&self) -> &str {
        self.mutant.split('/').next().unwrap_or_default()
    }

    pub fn survived(&self) -> bool {
        matches!(self.verdict, Verdict::Survived(_))
    }

    pub fn is_killed(&self) -> bool {
        matches!(self.verdict, Verdict::Killed(_) | Verdict::TimedOut)
    }
}

/// The outcomes of a run, kept in a file as they come, so that a run that was ended goes on.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// The report in a file, empty where there is none.
    ///
    /// # Errors
    /// Where it cannot be read or is no report.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let outcomes: Vec<Outcome> = match File::open(path) {
            Ok(file) => {
                let outcome = |line: std::io::Result<String>| Ok(serde_json::from_str(&line?)?);
                BufReader::new(file).lines().map(outcome).collect::<std::io::Result<_>>()?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => vec![],
            Err(error) => return Err(error),
        };
        let mut report = Self { path: path.to_owned(), outcomes: vec![] };
        outcomes.into_iter().for_each(|outcome| report.put(outcome));
        Ok(report)
    }

    /// In the place of what was known of the mutant.
    fn put(&mut self, outcome: Outcome) {
        match self.outcomes.iter_mut().find(|known| known.mutant == outcome.mutant) {
            Some(known) => *known = outcome,
            None => self.outcomes.push(outcome),
        }
    }

    /// What became of a mutant, where that is known.
    pub fn of(&self, mutant: &Mutant) -> Option<&Verdict> {
        let name = mutant.to_string();
        self.outcomes.iter().find(|outcome| outcome.mutant == name).map(|outcome| &outcome.verdict)
    }

    /// Adds an outcome, in the file too.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn add(&mut self, outcome: Outcome) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        writeln!(file, "{}", serde_json::to_string(&outcome)?)?;
        self.put(outcome);
        Ok(())
    }

    /// Killed and counted mutants, of each group that `of` names.
    pub fn scores<'a>(&'a self, of: impl Fn(&'a Outcome) -> String) -> BTreeMap<String, [usize; 2]> {
        let mut scores = BTreeMap::new();
        for outcome in self.outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Refused) {
            let [killed, counted] = scores.entry(of(outcome)).or_insert([0; 2]);
            *killed += usize::from(outcome.is_killed());
            *counted += 1;
        }
        scores
    }
}
