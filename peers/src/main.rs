//! How fast burn (wgpu) and candle (CPU) are on the tensors that `cargo bench` measures. Writes peers.json beside its
//! throughput.json.

mod burn_wgpu;
mod candle_cpu;
mod check;
mod clock;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use regex::Regex;

// What the crate's bench uses too.
use testkit::bench::results::{About, Entry, Results, load};
use testkit::bench::shapes::{Case, Work, group};

/// Times batch normalization of burn (wgpu) and candle (CPU). Writes peers.json to $CARGO_TARGET_DIR, or else to
/// ./target. CUBECL_WGPU_DEFAULT_DEVICE chooses burn's adapter.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A regular expression that ids must match: work/tensor/who, such as training_forward/4096x256/burn_wgpu.
    #[arg(default_value = "")]
    filter: Regex,
    /// Measure nothing: run everything once.
    #[arg(long)]
    test: bool,
}

/// Another implementation of the layer, on one tensor.
pub trait Peer {
    /// Does the work so many times, on sets of tensors in turn, and waits for it.
    fn run(&mut self, work: Work, iterations: u64) -> Result<()>;
    /// What a work computes with a fresh layer, in the order N, C, spatial axes: y, or dx of a dy of ones.
    fn result(&mut self, work: Work) -> Result<Vec<f32>>;
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let load_before = load();
    let gpu = burn_wgpu::Gpu::new()?;
    let mut cases = group("everyday");
    cases.extend(group("awkward"));
    let large = if gpu.software { Vec::new() } else { group("large") };

    let mut entries = Vec::new();
    for case in cases.iter().chain(&large) {
        measure(&arguments, &mut entries, case, "burn_wgpu", gpu.batch(), || burn_wgpu::peer(&gpu, case))?;
    }
    for case in &cases {
        measure(&arguments, &mut entries, case, "candle_cpu", 1, || candle_cpu::peer(case))?;
    }
    let about = About {
        versions: format!("burn {}, candle {}", version("burn"), version("candle-nn")),
        device: gpu.description.clone(),
        threads: std::thread::available_parallelism()?.get(),
        load_before,
        load_after: load(),
    };
    println!("\n{}; {}; {} threads", about.versions, about.device, about.threads);
    println!("Load average before: {}; after: {}", about.load_before, about.load_after);
    if !arguments.test {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
        Results { about, entries }.write(&PathBuf::from(target).join("peers.json"));
    }
    Ok(())
}

/// A peer's works on a tensor, each checked before it is timed. Neither peer has a backward without its forward.
fn measure(
    arguments: &Arguments,
    entries: &mut Vec<Entry>,
    case: &Case,
    who: &str,
    batch: u64,
    peer: impl FnOnce() -> Result<Box<dyn Peer>>,
) -> Result<()> {
    let works = [Work::TrainingForward, Work::Evaluation, Work::TrainingStep];
    let id = |work: Work| format!("{}/{}/{who}", work.name(), case.name);
    let works = works.into_iter().filter(|&work| arguments.filter.is_match(&id(work)));
    let works: Vec<Work> = works.collect();
    if works.is_empty() {
        return Ok(());
    }
    let mut peer = peer()?;
    for work in works {
        let wrong = check::wrong(case, work, &peer.result(work)?);
        if !arguments.test {
            let bytes = work.tensors_moved() * case.bytes();
            let median = clock::median(batch, |iterations| peer.run(work, iterations))?;
            let entry = Entry { wrong: wrong.clone(), ..Entry::new(id(work), median, bytes) };
            print!("{:10.3} ms {:7.2} GB/s  ", median * 1e-6, entry.gb_per_s);
            entries.push(entry);
        }
        println!("{}{}", id(work), wrong.map_or(String::new(), |wrong| format!("  WRONG: {wrong}")));
    }
    Ok(())
}

/// Of a package as it was built: packages do not tell themselves.
fn version(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"");
    let mut lines = include_str!("../Cargo.lock").lines().skip_while(|line| *line != name).skip(1);
    lines.next().and_then(|line| line.split('"').nth(1)).unwrap_or("of unknown version")
}
