//! The experiments. Each is a file here and a line in [`ALL`]: it trains networks, and says what it found.

use std::path::Path;

use anyhow::Result;

use crate::data::{self, Recorded};
use crate::digits::Task;
use crate::gpu::Gpu;

mod digits;
mod findings;
mod footguns;
mod regression;
pub mod report;
mod why;

pub use findings::{Check, Findings, Pair};

/// How much to do. Each does what the ones before it do, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A minimum of steps that still shows the effect.
    Short,
    /// What `make demo` shows.
    Demo,
    /// All seeds.
    Full,
}

impl Scope {
    /// The choice for this scope.
    pub fn pick<T>(self, short: T, demo: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Demo => demo,
            Self::Full => full,
        }
    }
}

/// What every experiment works with.
pub struct Lab {
    pub gpu: Gpu,
    pub task: Task,
    pub recorded: Recorded,
    pub scope: Scope,
}

impl Lab {
    /// With the data in this folder, and instead of its digits the data set in MNIST's format in the other one.
    pub fn new(data: &Path, idx: Option<&Path>, scope: Scope) -> Result<Self> {
        let recorded = data::recorded_regression(data)?;
        let images = match idx {
            Some(folder) => data::idx(folder)?,
            None => data::digits(data)?,
        };
        let gpu = Gpu::new()?;
        let task = Task::new(&gpu, images)?;
        Ok(Self { gpu, task, recorded, scope })
    }
}

pub struct Experiment {
    /// Its key in report.json.
    pub name: &'static str,
    /// The least that it is part of.
    pub scope: Scope,
    pub run: fn(&Lab) -> Result<Findings>,
}

/// All experiments, in their order.
pub const ALL: [Experiment; 4] = [
    Experiment { name: "regression", scope: Scope::Short, run: regression::run },
    Experiment { name: "digits", scope: Scope::Short, run: digits::run },
    Experiment { name: "why", scope: Scope::Full, run: why::run },
    Experiment { name: "footguns", scope: Scope::Full, run: footguns::run },
];
