//! The results: criterion's estimates of what was run, as tables and as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;
use testkit::bench::results::{About, Entry, Results, load};
use testkit::bench::shapes::{Case, Work};
use wgpu_batchnorm::Plan;

use crate::roof::Kernel;

/// Who did the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Gpu,
    CopyKernel,
    CopyBuffer,
    CpuAll,
    Cpu1,
}

impl Who {
    pub const ALL: [Who; 5] = [Who::Gpu, Who::CopyKernel, Who::CopyBuffer, Who::CpuAll, Who::Cpu1];

    /// Whether it only copies x.
    pub fn copies(self) -> bool {
        matches!(self, Who::CopyKernel | Who::CopyBuffer)
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Who::Gpu => "gpu",
            Who::CopyKernel => "copy_kernel",
            Who::CopyBuffer => "copy_buffer",
            Who::CpuAll => "cpu_all",
            Who::Cpu1 => "cpu_1",
        })
    }
}

/// What was run, and what criterion does not know of it.
pub struct Measured {
    adapter: String,
    start: SystemTime,
    load_at_start: String,
    run: Vec<(Work, String, Who, u64)>,
    described: BTreeMap<(Work, String), Description>,
}

struct Description {
    plan: String,
    /// Nanoseconds that the plan predicts.
    predicted: f64,
    copy: Kernel,
    /// Nanoseconds by the device's clock, of the layer and of the copy kernel.
    clock: Option<[f64; 2]>,
}

impl Measured {
    pub fn new(adapter: String) -> Self {
        let (start, load_at_start) = (SystemTime::now(), load());
        Self { adapter, start, load_at_start, run: Vec::new(), described: BTreeMap::new() }
    }

    pub fn ran(&mut self, work: Work, case: &Case, who: Who, bytes: u64) {
        self.run.push((work, case.name.clone(), who, bytes));
    }

    pub fn describe(
        &mut self,
        work: Work,
        case: &Case,
        plans: Vec<&Plan>,
        copy: Kernel,
        clock: Option<[f64; 2]>,
    ) {
        let plan = match plans[..] {
            [plan] => plan.request().to_string(),
            _ => plans.iter().map(|plan| plan.path().to_string()).collect::<Vec<_>>().join(" + "),
        };
        let predicted = plans.iter().map(|plan| plan.predicted().as_secs_f64() * 1e9).sum();
        self.described.insert((work, case.name.clone()), Description { plan, predicted, copy, clock });
    }

    /// Prints the tables and writes the JSON, where anything was measured.
    pub fn report(&self) {
        let entries: BTreeMap<(Work, &str, Who), Entry> = self.entries();
        if entries.is_empty() {
            println!("\nNothing was measured, so there is no table.");
            return;
        }
        for work in Work::ALL {
            self.print(work, &entries);
        }
        let about = About {
            versions: concat!("wgpu-batchnorm ", env!("CARGO_PKG_VERSION")).into(),
            device: self.adapter.clone(),
            threads: rayon::current_num_threads(),
            load_before: self.load_at_start.clone(),
            load_after: load(),
        };
        println!("\nAdapter: {}", about.device);
        println!("CPU: {} threads", about.threads);
        println!("Load average before: {}; after: {}", about.load_before, about.load_after);
        let in_order = self.run.iter();
        let in_order =
            in_order.filter_map(|(work, case, who, _)| entries.get(&(*work, case.as_str(), *who)).cloned());
        Results { about, entries: in_order.collect() }.write(&target_directory().join("throughput.json"));
    }

    fn entries(&self) -> BTreeMap<(Work, &str, Who), Entry> {
        let estimates: BTreeMap<(Work, &str, Who), Estimates> = self
            .run
            .iter()
            .filter_map(|(work, case, who, _)| {
                Some(((*work, case.as_str(), *who), Estimates::read(&id(*work, case, *who), self.start)?))
            })
            .collect();
        // The copy kernel's time beside this work, or else beside another on the same tensor.
        let copy = |work: Work, case: &str| {
            let of_copy = |work| estimates.get(&(work, case, Who::CopyKernel));
            let beside = |work| Some(of_copy(work)?.median.point_estimate);
            beside(work).or_else(|| Work::ALL.into_iter().find_map(beside))
        };
        let mut entries = BTreeMap::new();
        for (work, case, who, bytes) in &self.run {
            let key = (*work, case.as_str(), *who);
            if let Some(Estimates { median, median_abs_dev }) = estimates.get(&key) {
                let median_ns = median.point_estimate;
                let mut entry = Entry::new(id(*work, case, *who), median_ns, *bytes);
                entry.spread_ns = Some(median_abs_dev.point_estimate);
                entry.times_copy = copy(*work, case).map(|copy| median_ns / copy);
                let described = self.described.get(&(*work, case.clone()));
                entry.clock_ns = described.and_then(|d| d.clock).and_then(|[gpu, copy]| match who {
                    Who::Gpu => Some(gpu),
                    Who::CopyKernel => Some(copy),
                    _ => None,
                });
                entry.predicted_ns = described.filter(|_| *who == Who::Gpu).map(|d| d.predicted);
                entries.insert(key, entry);
            }
        }
        entries
    }

    fn print(&self, work: Work, entries: &BTreeMap<(Work, &str, Who), Entry>) {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "Tensor",
            "Plan",
            "Best copy kernel",
            "GPU ms",
            "±",
            "by its clock",
            "predicted",
            "GPU GB/s",
            "copy kernel",
            "copy buffer",
            "CPU all",
            "CPU 1",
            "GPU / copy kernel",
            "by its clock",
            "GPU / CPU all",
            "GPU / CPU 1",
        ]);
        let mut cases: Vec<&str> = self.run.iter().filter(|r| r.0 == work).map(|r| r.1.as_str()).collect();
        cases.dedup();
        for case in cases {
            let of = |who| entries.get(&(work, case, who));
            if Who::ALL.into_iter().all(|who| of(who).is_none()) {
                continue;
            }
            let number =
                |value: Option<f64>, digits: usize| value.map_or("-".into(), |v| format!("{v:.digits$}"));
            let speed = |who| number(of(who).map(|e| e.gb_per_s), 1);
            let over = |who| Some(of(Who::Gpu)?.median_ns / of(who)?.median_ns);
            let described = self.described.get(&(work, case.to_owned()));
            table.add_row([
                case.to_owned(),
                described.map_or("-".into(), |d| d.plan.clone()),
                described.map_or("-".into(), |d| d.copy.to_string()),
                number(of(Who::Gpu).map(|e| e.median_ns * 1e-6), 3),
                number(of(Who::Gpu).and_then(|e| Some(e.spread_ns? * 1e-6)), 3),
                number(described.and_then(|d| d.clock).map(|[gpu, _]| gpu * 1e-6), 3),
                number(described.map(|d| d.predicted * 1e-6), 3),
                speed(Who::Gpu),
                speed(Who::CopyKernel),
                speed(Who::CopyBuffer),
                speed(Who::CpuAll),
                speed(Who::Cpu1),
                number(of(Who::Gpu).and_then(|e| e.times_copy), 2),
                number(described.and_then(|d| d.clock).map(|[gpu, copy]| gpu / copy), 2),
                number(over(Who::CpuAll), 2),
                number(over(Who::Cpu1), 2),
            ]);
        }
        if table.row_count() > 0 {
            table.column_iter_mut().skip(3).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
            println!("\n{}: {} times the tensor's bytes", work.name(), work.tensors_moved());
            println!("Medians of wall-clock time; ± is the median absolute deviation.");
            println!("{table}");
            let of_work = entries.iter().filter(|(key, _)| key.0 == work);
            // The device's clock leaves out what the prediction does: recording and submitting.
            let ratios =
                of_work.filter_map(|(_, e)| Some(e.predicted_ns? / e.clock_ns.unwrap_or(e.median_ns)));
            print_quality(&ratios.collect::<Vec<f64>>());
        }
    }
}

/// How well plans predict.
fn print_quality(ratios: &[f64]) {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    if !ratios.is_empty() {
        let mean = geometric_mean(ratios);
        println!("predicted / measured: {least:.2} to {most:.2}, geometric mean {mean:.2}");
    }
}

pub fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

fn id(work: Work, case: &str, who: Who) -> String {
    format!("{}/{case}/{who}", work.name())
}

/// Criterion's estimates of one measurement, in nanoseconds.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
    /// Half of the samples are as near to the median as this, or nearer.
    median_abs_dev: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

impl Estimates {
    /// What criterion wrote, if it was measured since.
    fn read(id: &str, since: SystemTime) -> Option<Self> {
        let home = std::env::var_os("CRITERION_HOME");
        let home = home.map_or_else(|| target_directory().join("criterion"), PathBuf::from);
        let path = home.join(id).join("new/estimates.json");
        if path.metadata().ok()?.modified().ok()? < since {
            return None;
        }
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

/// Cargo's target directory, where criterion looks for it too; ./target where the binary runs without Cargo.
pub fn target_directory() -> PathBuf {
    match (std::env::var_os("CARGO_TARGET_DIR"), std::env::var_os("CARGO")) {
        (Some(directory), _) => directory.into(),
        (None, Some(_)) => Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp").into(),
        (None, None) => "target".into(),
    }
}
