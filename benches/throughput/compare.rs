//! `cargo bench --bench throughput -- --compare`: what throughput.json, peers.json and torch.json hold, in one table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};

use crate::results::{Entry, Results};
use crate::shapes::{self, Work};
use crate::table::target_directory;

/// Whose times are shown, and under which title. Ours comes first.
const WHO: [(&str, &str); 8] = [
    ("gpu", "this crate"),
    ("copy_kernel", "best copy kernel"),
    ("cpu_all", "CPU baseline"),
    ("burn_wgpu", "burn, wgpu"),
    ("candle_cpu", "candle, CPU"),
    ("torch_cpu", "PyTorch, CPU"),
    ("torch_cuda_native", "PyTorch, CUDA native"),
    ("torch_cuda_cudnn", "PyTorch, cuDNN"),
];

pub fn run() {
    let directory = target_directory();
    let files = ["throughput.json", "peers.json", "torch.json"].map(|name| read(&directory.join(name)));
    let files: Vec<Results> = files.into_iter().flatten().collect();
    let entries: BTreeMap<&str, &Entry> =
        files.iter().flat_map(|file| &file.entries).map(|entry| (entry.id.as_str(), entry)).collect();
    let present: BTreeSet<&str> = entries.keys().filter_map(|id| id.rsplit('/').next()).collect();
    let who: Vec<_> = WHO.into_iter().filter(|(who, _)| present.contains(who)).collect();

    println!("\n{}", table(&entries, &who));
    println!("\nMilliseconds, and their ratios to this crate's; above 1 this crate is faster.");
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

fn table(entries: &BTreeMap<&str, &Entry>, who: &[(&str, &str)]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let titles = |format: fn(&str) -> String| who.iter().map(move |(_, title)| format(title));
    let ratios = titles(|title| format!("{title} / this")).skip(1);
    table.set_header(
        ["work", "tensor"].map(String::from).into_iter().chain(titles(str::to_owned)).chain(ratios),
    );
    let cases: Vec<_> = ["everyday", "awkward", "large"].into_iter().flat_map(shapes::group).collect();
    for work in Work::ALL {
        let mut logarithms: Vec<Vec<f64>> = vec![Vec::new(); who.len()];
        for case in &cases {
            let of = |who: &str| entries.get(format!("{}/{}/{who}", work.name(), case.name).as_str());
            if who.iter().all(|(who, _)| of(who).is_none()) {
                continue;
            }
            let times = who.iter().map(|(who, _)| {
                of(who).map_or("-".into(), |entry| {
                    let mark = if entry.wrong.is_some() { " (!)" } else { "" };
                    format!("{:.3}{mark}", entry.median_ns * 1e-6)
                })
            });
            let ratios = who.iter().zip(&mut logarithms).skip(1).map(|((who, _), logarithms)| {
                let ratio = of(who).zip(of("gpu")).map(|(their, our)| their.median_ns / our.median_ns);
                logarithms.extend(ratio.map(f64::ln));
                ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"))
            });
            let text = [work.name().to_owned(), case.name.clone()];
            table.add_row(text.into_iter().chain(times).chain(ratios));
        }
        let means = logarithms.iter().skip(1).map(|logarithms| match logarithms.len() {
            0 => "-".into(),
            count => format!("{:.2}", (logarithms.iter().sum::<f64>() / count as f64).exp()),
        });
        let text = [work.name().to_owned(), "geometric mean".into()];
        table.add_row(text.into_iter().chain(who.iter().map(|_| String::new())).chain(means));
    }
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
