//! Plans that were measured, remembered per device, shape and work.

mod key;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use key::Key;
pub use text::ParseWisdomError;

use super::{PlanRequest, Work};
use crate::tensor::Shape;

/// A plan that was measured, and what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WisdomEntry {
    /// The plan: all of it.
    pub plan: PlanRequest,
    /// The median time of the work; of a training step, that of forward and backward together.
    pub median: Duration,
    /// The median absolute deviation from it.
    pub spread: Duration,
    /// The median time with the plans that are chosen by default.
    pub default: Duration,
}

impl WisdomEntry {
    /// A plan that was measured.
    pub fn new(plan: PlanRequest, median: Duration, spread: Duration, default: Duration) -> Self {
        Self { plan, median, spread, default }
    }
}

/// Plans that were measured on some devices: for each device and driver, shape and work, the one that was best. What
/// [`BatchNorm::tune`](crate::BatchNorm::tune) finds, it gives as this, and
/// [`Context::add_wisdom`](crate::Context::add_wisdom) makes a context plan by it.
///
/// It prints as lines of text and is read back from them; docs/tuning.md says what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wisdom {
    /// By the name of the device.
    devices: BTreeMap<String, BTreeMap<Key, WisdomEntry>>,
}

impl Wisdom {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a device and its driver are called here: the backend, the adapter and its ids, the driver and its version, in
    /// one line. A browser tells hardly any of them, so that there all devices have one name: keep wisdom with what is kept
    /// for the machine.
    pub fn device_name(device: &wgpu::Device) -> String {
        let info = device.adapter_info();
        let wgpu::AdapterInfo { backend, name, vendor, device, driver, driver_info, .. } = &info;
        one_line(&format!("{backend}: {name} ({vendor:04x}:{device:04x}), {driver} {driver_info}"))
    }

    /// Plans in all.
    pub fn len(&self) -> usize {
        self.devices.values().map(BTreeMap::len).sum()
    }

    /// Whether there is no plan.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of a device, a shape and a work. Works that differ only by the slope of an activation or by whether
    /// running statistics move are the same here, and so are shapes that lie alike in memory.
    pub fn get(&self, device: &str, shape: Shape, work: impl Into<Work>) -> Option<WisdomEntry> {
        self.devices.get(device)?.get(&Key::new(shape, &work.into())?).copied()
    }

    /// Remembers a plan, in the place of one of the same device, shape and work. Returns whether it does: not where the work
    /// is on a part of a batch, nor where nothing is fixed of the plan.
    pub fn insert(&mut self, device: &str, shape: Shape, work: impl Into<Work>, entry: WisdomEntry) -> bool {
        let key = Key::new(shape, &work.into()).filter(|_| entry.plan != PlanRequest::default());
        let Some(key) = key else { return false };
        self.devices.entry(one_line(device)).or_default().insert(key, entry);
        true
    }

    /// Adds all that another knows. Where both know of the same device, shape and work, the other is believed: it is taken to
    /// be newer.
    pub fn merge(&mut self, other: Wisdom) {
        for (device, entries) in other.devices {
            self.devices.entry(device).or_default().extend(entries);
        }
    }

    /// The plans of a device.
    pub(crate) fn of_device(&self, device: &str) -> impl Iterator<Item = (&Key, PlanRequest)> {
        let entries = self.devices.get(device).into_iter().flatten();
        entries.map(|(key, entry)| (key, entry.plan))
    }
}

/// A name without line breaks, or other characters that do not print.
fn one_line(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() { "unknown".into() } else { name }
}

#[cfg(test)]
mod tests;
