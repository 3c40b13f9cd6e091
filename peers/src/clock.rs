//! Medians of wall-clock time.

use std::time::{Duration, Instant};

use anyhow::Result;

const WARM_UP: Duration = Duration::from_millis(300);
const MEASURE: Duration = Duration::from_secs(1);
/// However long they take.
const SAMPLES: usize = 9;

/// Nanoseconds of one iteration: the median of samples of `batch` iterations each, after a warm-up.
pub fn median(batch: u64, mut run: impl FnMut(u64) -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        run(batch)?;
    }
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < SAMPLES || start.elapsed() < MEASURE {
        let start = Instant::now();
        run(batch)?;
        samples.push(start.elapsed().as_secs_f64() * 1e9 / batch as f64);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[samples.len() / 2])
}
