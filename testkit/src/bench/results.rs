//! The file of results that the bench, `peers/` and `scripts/torch_batchnorm.py` all write.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// One program's results.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    pub about: About,
    pub entries: Vec<Entry>,
}

/// Under what they were measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct About {
    /// What was measured, each with its version.
    pub versions: String,
    pub device: String,
    /// Of the CPU.
    pub threads: usize,
    pub load_before: String,
    pub load_after: String,
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// work/tensor/who
    pub id: String,
    pub median_ns: f64,
    /// The median absolute deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_ns: Option<f64>,
    /// That it has to read and write.
    pub bytes: u64,
    pub gb_per_s: f64,
    /// By the device's own clock, without what recording and submitting costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ns: Option<f64>,
    /// As the plan predicts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_ns: Option<f64>,
    /// This time over the copy kernel's of the same tensor, where that was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_copy: Option<f64>,
    /// What is wrong with what was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

impl Entry {
    pub fn new(id: String, median_ns: f64, bytes: u64) -> Self {
        let gb_per_s = bytes as f64 / median_ns;
        Self {
            id,
            median_ns,
            spread_ns: None,
            bytes,
            gb_per_s,
            clock_ns: None,
            predicted_ns: None,
            times_copy: None,
            wrong: None,
        }
    }
}

impl Results {
    pub fn write(&self, path: &Path) {
        let json = serde_json::to_string_pretty(self).expect("plain values");
        let directory = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        match directory.and_then(|()| std::fs::write(path, json + "\n")) {
            Ok(()) => println!("Written to {}", path.display()),
            Err(error) => eprintln!("{} could not be written: {error}", path.display()),
        }
    }
}

/// Load averages of the last 1, 5 and 15 minutes, where the system tells.
pub fn load() -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = averages.split_whitespace().take(3).collect();
    if averages.is_empty() { "unknown".into() } else { averages.join(" ") }
}
