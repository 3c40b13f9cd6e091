//! `cargo bench --bench throughput -- --compare`: what throughput.json, peers.json and torch.json hold, in one table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use testkit::bench::results::{Entry, Results};
use testkit::bench::shapes::{self, Work};

use crate::table::{geometric_mean, target_directory};

/// Whose times are shown, and under which title. Ours comes first.
const WHO: [(&str, &str); 10] = [
    ("gpu", "this crate"),
    ("copy_kernel", "best copy kernel"),
    ("cpu_all", "CPU baseline"),
    ("burn_wgpu", "burn, wgpu"),
    ("candle_cpu", "candle, CPU"),
    ("torch_cpu", "PyTorch, CPU"),
    ("torch_cpu_copy", "PyTorch's copy, CPU"),
    ("torch_cuda_native", "PyTorch, CUDA native"),
    ("torch_cuda_cudnn", "PyTorch, cuDNN"),
    ("torch_cuda_copy", "PyTorch's copy, CUDA"),
];

pub fn run() {
    let directory = target_directory();
    let files = ["throughput.json", "peers.json", "torch.json"].map(|name| read(&directory.join(name)));
    let files: Vec<Results> = files.into_iter().flatten().collect();
    let entries: BTreeMap<&str, &Entry> =
        files.iter().flat_map(|file| &file.entries).map(|entry| (entry.id.as_str(), entry)).collect();

    println!("\nMilliseconds, and their ratios to this crate's; above 1 this crate is faster.");
    println!("\n{}\n", table(&entries, |entry| Some(entry.median_ns)));
    if entries.values().any(|entry| entry.id.contains("cuda")) {
        println!("The same by the devices' own clocks.\n\n{}\n", table(&entries, |entry| entry.clock_ns));
    }
    for file in &files {
        let about = &file.about;
        println!(
            "- {}: {}; {} CPU threads; load average before {}, after {}",
            about.versions, about.device, about.threads, about.load_before, about.load_after
        );
    }
    for (id, wrong) in entries.values().filter_map(|entry| Some((&entry.id, entry.wrong.as_ref()?))) {
        println!("- (!) {id} is not the right result: {wrong}");
    }
}

fn read(path: &Path) -> Option<Results> {
    let file = std::fs::read(path).map_err(|error| error.to_string());
    let results = file.and_then(|file| serde_json::from_slice(&file).map_err(|error| error.to_string()));
    results.inspect_err(|error| println!("Without {}: {error}", path.display())).ok()
}

fn table(entries: &BTreeMap<&str, &Entry>, time: fn(&Entry) -> Option<f64>) -> Table {
    let timed = entries.values().filter(|entry| time(entry).is_some());
    let present: BTreeSet<&str> = timed.filter_map(|entry| entry.id.rsplit('/').next()).collect();
    let who: Vec<_> = WHO.into_iter().filter(|(who, _)| present.contains(who)).collect();

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let titles = |format: fn(&str) -> String| who.iter().map(move |(_, title)| format(title));
    let ratios = titles(|title| format!("{title} / this")).skip(1);
    table.set_header(
        ["work", "tensor"].map(String::from).into_iter().chain(titles(str::to_owned)).chain(ratios),
    );
    let cases: Vec<_> = ["everyday", "awkward", "large"].into_iter().flat_map(shapes::group).collect();
    for work in Work::ALL {
        let mut all_ratios: Vec<Vec<f64>> = vec![Vec::new(); who.len()];
        for case in &cases {
            let of = |who: &str| {
                let entry = entries.get(format!("{}/{}/{who}", work.name(), case.name).as_str())?;
                Some((time(entry)?, entry.wrong.is_some()))
            };
            if who.iter().all(|(who, _)| of(who).is_none()) {
                continue;
            }
            let times = who.iter().map(|(who, _)| {
                of(who).map_or("-".into(), |(time, wrong)| {
                    format!("{:.3}{}", time * 1e-6, if wrong { " (!)" } else { "" })
                })
            });
            let ratios = who.iter().zip(&mut all_ratios).skip(1).map(|((who, _), all)| {
                let ratio = of(who).zip(of("gpu")).map(|((their, _), (our, _))| their / our);
                all.extend(ratio);
                ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"))
            });
            let text = [work.name().to_owned(), case.name.clone()];
            table.add_row(text.into_iter().chain(times).chain(ratios));
        }
        if all_ratios.iter().all(Vec::is_empty) {
            continue;
        }
        let means = all_ratios.iter().skip(1).map(|ratios| match ratios.len() {
            0 => "-".into(),
            _ => format!("{:.2}", geometric_mean(ratios)),
        });
        let text = [work.name().to_owned(), "geometric mean".into()];
        table.add_row(text.into_iter().chain(who.iter().map(|_| String::new())).chain(means));
    }
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
