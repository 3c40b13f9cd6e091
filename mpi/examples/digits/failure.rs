//! What can befall a rank.

use std::time::Duration;

use clap::ValueEnum;
use wgpu_batchnorm::headless::Gpu;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Failure {
    /// It never had a device.
    NoDevice,
    /// Its device is lost.
    LostDevice,
    /// It panics.
    Panic,
    /// Its process ends at once.
    Killed,
    /// It does nothing any more.
    Hang,
}

impl Failure {
    pub fn befall(self, gpu: &Gpu) {
        match self {
            Self::NoDevice => {}
            Self::LostDevice => gpu.device.destroy(),
            Self::Panic => panic!("this rank panics, as asked"),
            Self::Killed => std::process::abort(),
            Self::Hang => std::thread::sleep(Duration::MAX),
        }
    }
}

/// RANK:WHAT
pub fn parse(text: &str) -> Result<(usize, Failure), String> {
    let (rank, failure) = text.split_once(':').ok_or("RANK:WHAT is required, such as 2:lost-device")?;
    let rank = rank.parse().map_err(|error| format!("{rank}: {error}"))?;
    Ok((rank, Failure::from_str(failure, true)?))
}
