//! What an experiment found.

use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::network::Normalization;
use crate::plots::Picture;

/// What an experiment found: as JSON, as tables and pictures, and what must hold of it.
pub struct Findings {
    pub report: Box<RawValue>,
    pub tables: Vec<Table>,
    /// With the names of their files.
    pub pictures: Vec<(&'static str, Picture)>,
    pub checks: Vec<Check>,
}

impl Findings {
    pub fn new(report: &impl Serialize) -> Result<Self> {
        Ok(Self { report: to_raw_value(report)?, tables: vec![], pictures: vec![], checks: vec![] })
    }

    pub fn tables(self, tables: impl IntoIterator<Item = Table>) -> Self {
        Self { tables: tables.into_iter().collect(), ..self }
    }

    pub fn pictures(self, pictures: impl IntoIterator<Item = (&'static str, Picture)>) -> Self {
        Self { pictures: pictures.into_iter().collect(), ..self }
    }

    pub fn checks(self, checks: impl IntoIterator<Item = Check>) -> Self {
        Self { checks: checks.into_iter().collect(), ..self }
    }
}

/// A statement about the results that must hold.
pub struct Check {
    pub what: String,
    pub holds: bool,
}

impl Check {
    pub fn new(what: String, holds: bool) -> Self {
        Self { what, holds }
    }
}

/// A pair of results.
#[derive(Debug, Serialize)]
pub struct Pair<T> {
    pub with: T,
    pub without: T,
}

impl<T> Pair<T> {
    /// With PyTorch's batch normalization and without any.
    pub fn of(mut run: impl FnMut(&str, Normalization) -> Result<T>) -> Result<Self> {
        Ok(Self { with: run("with", Normalization::BATCH)?, without: run("without", Normalization::None)? })
    }

    pub fn named(&self) -> [(&'static str, &T); 2] {
        [("with", &self.with), ("without", &self.without)]
    }
}

pub fn table<T: Into<comfy_table::Cell>>(header: impl IntoIterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.into_iter().collect::<Vec<T>>());
    table
}

/// The last of the losses.
pub fn end(losses: &[f32]) -> f32 {
    losses.last().copied().unwrap_or(f32::NAN)
}

pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

pub fn median(values: impl IntoIterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.into_iter().collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f32::NAN)
}
