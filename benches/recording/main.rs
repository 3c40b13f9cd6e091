//! `cargo bench --bench recording`: what the CPU pays for a layer in a pass, beside as many bare dispatches, and how
//! often each allocates. Nothing is submitted.

use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use testkit::bench::median;
use testkit::recording::{Bare, Groups, Steps};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{Path, wgpu};

/// Steps in a pass: few enough that wgpu's list of commands costs no new pages of memory each time.
const STEPS: usize = 32;

/// Records the step of this number.
type Record<'a> = &'a dyn Fn(&mut wgpu::ComputePass<'_>, usize);

fn main() {
    let given = |name: &str| std::env::args().any(|argument| argument == name);
    let samples = if given("--bench") && !given("--test") { 1001 } else { 1 };
    let gpu = Gpu::new().unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1);
    });
    let bare = Bare::new(&gpu.device);

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header([
        "step",
        "dispatches",
        "record, µs",
        "bare, µs",
        "with encoding, µs",
        "bare, µs",
        "allocations",
        "bare",
    ]);
    for path in [Path::Cached, Path::Split] {
        // Two layers in turn, for wgpu skips what is set already.
        let layers = [0, 1].map(|_| Steps::new(&gpu, path));
        let of = |i: usize| &layers[i % 2];
        let works: [(&str, Vec<_>, Record<'_>); 3] = [
            ("training", of(0).training.dispatches(), &|pass, i| of(i).training.record(pass)),
            ("evaluation", of(0).evaluation.dispatches(), &|pass, i| of(i).evaluation.record(pass)),
            ("backward", of(0).backward.dispatches(), &|pass, i| of(i).backward.record(pass)),
        ];
        for (name, dispatches, record) in works {
            let groups = Groups::of(&dispatches);
            let floor: Record<'_> = &|pass, i| bare.record(pass, i, &groups);
            let [step, floor] = costs(&gpu.device, samples, [record, floor]);
            table.add_row([
                format!("{name}, {path}"),
                dispatches.len().to_string(),
                format!("{:.3}", step.recorded),
                format!("{:.3}", floor.recorded),
                format!("{:.3}", step.encoded),
                format!("{:.3}", floor.encoded),
                step.allocations.to_string(),
                floor.allocations.to_string(),
            ]);
        }
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!(
        "{}\nMicroseconds of a step and allocations of all {STEPS} in a pass; medians of {samples} passes.\n\n{table}",
        gpu.describe()
    );
}

/// Of a step: microseconds until it is recorded, and until wgpu has made commands of it; allocations of all in a pass.
struct Cost {
    recorded: f64,
    encoded: f64,
    allocations: u64,
}

/// Medians over samples in which both take turns.
fn costs(device: &wgpu::Device, samples: usize, records: [Record<'_>; 2]) -> [Cost; 2] {
    let mut passes = [Vec::new(), Vec::new()];
    for _ in 0..samples {
        for (passes, record) in passes.iter_mut().zip(records) {
            passes.push(pass(device, record));
        }
    }
    passes.map(|passes| Cost {
        recorded: median(passes.iter().map(|pass| pass.recorded).collect()),
        encoded: median(passes.iter().map(|pass| pass.encoded).collect()),
        allocations: passes[0].allocations,
    })
}

fn pass(device: &wgpu::Device, record: Record<'_>) -> Cost {
    let mut encoder = device.create_command_encoder(&Default::default());
    let start = Instant::now();
    let microseconds = || start.elapsed().as_secs_f64() * 1e6 / STEPS as f64;
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let counted = allocation_counter::measure(|| (0..STEPS).for_each(|i| record(&mut pass, i)));
    let recorded = microseconds();
    drop(pass);
    let _commands = encoder.finish();
    Cost { recorded, encoded: microseconds(), allocations: counted.count_total }
}
