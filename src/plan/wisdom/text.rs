//! Wisdom as text: a line that says what it is, then a line in brackets for each device and a line for each plan on it.
//!
//! A line for each plan, so that texts can be compared, sorted and merged by hand, and an error names a line.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;
use std::time::Duration;

use super::key::number;
use super::{Key, Wisdom, WisdomEntry, one_line};
use crate::plan::PlanRequest;

/// The first line. The number changes with the format, and where older plans would mislead.
const TITLE: &str = "wgpu-batchnorm wisdom 1";

/// The times of a line, in nanoseconds.
const TIMES: [&str; 3] = ["median_ns", "spread_ns", "default_ns"];

/// The most characters of a line that an error repeats.
const SHOWN: usize = 80;

/// Why a text is no wisdom.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: required {required}, given {given:?}")]
pub struct ParseWisdomError {
    /// The line, counted from 1.
    pub line: usize,
    /// What would be right there.
    pub required: &'static str,
    /// The line as it is, or its begin.
    pub given: String,
}

impl Display for Wisdom {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        writeln!(f, "{TITLE}")?;
        for (device, entries) in &self.devices {
            writeln!(f, "\n[{device}]")?;
            for (key, WisdomEntry { plan, median, spread, default }) in entries {
                write!(f, "{key} = {plan} ;")?;
                for (name, time) in TIMES.iter().zip([median, spread, default]) {
                    write!(f, " {name}={}", time.as_nanos())?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl FromStr for Wisdom {
    type Err = ParseWisdomError;

    fn from_str(text: &str) -> Result<Self, ParseWisdomError> {
        let mut wisdom = Self::default();
        let mut device = None;
        let mut titled = false;
        for (i, line) in text.lines().map(str::trim).enumerate() {
            let error = |required| ParseWisdomError {
                line: i + 1,
                required,
                given: line.chars().take(SHOWN).collect(),
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !titled {
                titled = line == TITLE;
                if !titled {
                    return Err(error("`wgpu-batchnorm wisdom 1`, which names the format"));
                }
            } else if let Some(name) = line.strip_prefix('[') {
                let name = name.strip_suffix(']').filter(|name| one_line(name) == *name);
                device = Some(name.ok_or_else(|| error("the name of a device in brackets"))?);
                wisdom.devices.entry(device.unwrap_or_default().to_owned()).or_default();
            } else {
                let (key, entry) = entry(line).map_err(error)?;
                let device =
                    device.ok_or_else(|| error("the name of a device in brackets, before a plan"))?;
                let entries = wisdom.devices.entry(device.to_owned()).or_default();
                if entries.insert(key, entry).is_some() {
                    return Err(error("one plan for a device, shape and work"));
                }
            }
        }
        if titled {
            return Ok(wisdom);
        }
        let required = "`wgpu-batchnorm wisdom 1`, which names the format";
        Err(ParseWisdomError { line: text.lines().count() + 1, required, given: String::new() })
    }
}

/// `SHAPE WORK = PLAN ; TIMES`, or what is missing.
fn entry(line: &str) -> Result<(Key, WisdomEntry), &'static str> {
    let (key, rest) = line.split_once(" = ").ok_or("`SHAPE WORK = PLAN ; TIMES`")?;
    let (plan, times) = rest.split_once(" ; ").ok_or("`SHAPE WORK = PLAN ; TIMES`")?;
    let key = Key::parse(key).ok_or("a shape such as 32x64x3136 and a work such as `training relu`")?;
    let plan: PlanRequest = plan.parse().map_err(|_| "a plan, as PlanRequest prints it")?;
    if plan == PlanRequest::default() {
        return Err("a plan, as PlanRequest prints it");
    }
    let words: Vec<&str> = times.split(' ').collect();
    let time = |i: usize| {
        let nanoseconds = words.get(i)?.strip_prefix(TIMES[i])?.strip_prefix('=')?;
        Some(Duration::from_nanos(number(nanoseconds)?))
    };
    match (words.len(), time(0), time(1), time(2)) {
        (3, Some(median), Some(spread), Some(default)) => {
            Ok((key, WisdomEntry { plan, median, spread, default }))
        }
        _ => Err("`median_ns=NUMBER spread_ns=NUMBER default_ns=NUMBER` behind the plan"),
    }
}
