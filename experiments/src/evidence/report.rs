//! All findings in one folder: report.json and the pictures.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::Findings;
use crate::plots;

pub struct Report {
    pub adapter: String,
    /// By the names of the experiments.
    pub found: Vec<(&'static str, Findings)>,
    pub seconds: f64,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("adapter", &self.adapter)?;
        for (name, findings) in &self.found {
            map.serialize_entry(name, &findings.report)?;
        }
        map.serialize_entry("seconds", &self.seconds)?;
        map.end()
    }
}

impl Report {
    /// Writes report.json and every picture; returns the pictures' names.
    pub fn write(&self, directory: &Path) -> Result<Vec<&'static str>> {
        let path = directory.join("report.json");
        fs::write(&path, serde_json::to_string(self)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let pictures = self.found.iter().flat_map(|(_, findings)| &findings.pictures);
        pictures
            .map(|(name, picture)| {
                plots::save(directory, name, picture)?;
                Ok(*name)
            })
            .collect()
    }
}
