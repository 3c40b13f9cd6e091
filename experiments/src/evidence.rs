//! The experiments. Each is a file here and a line in [`ALL`]: it trains networks, and says what it found.

use std::path::Path;

use anyhow::Result;

use crate::data::{self, Recorded};
use crate::digits::Task;
use crate::gpu::Gpu;

mod batch_sizes;
mod digits;
mod dropout;
mod findings;
mod folding;
mod footguns;
mod order;
mod rates;
mod regression;
pub mod report;
mod why;

pub use findings::{Check, Findings, Pair};

/// How much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All experiments with a minimum of steps, to see that they work.
    Short,
    /// Some, and of them what does not take long.
    Demo,
    /// All of all.
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
    /// Whether it is part of [`Scope::Demo`].
    pub demo: bool,
    pub run: fn(&Lab) -> Result<Findings>,
}

/// All experiments, in their order.
pub const ALL: [Experiment; 9] = [
    Experiment { name: "regression", demo: true, run: regression::run },
    Experiment { name: "digits", demo: true, run: digits::run },
    Experiment { name: "why", demo: false, run: why::run },
    Experiment { name: "footguns", demo: false, run: footguns::run },
    Experiment { name: "batch_sizes", demo: false, run: batch_sizes::run },
    Experiment { name: "rates", demo: false, run: rates::run },
    Experiment { name: "order", demo: false, run: order::run },
    Experiment { name: "dropout", demo: false, run: dropout::run },
    Experiment { name: "folding", demo: false, run: folding::run },
];
