//! `cargo bench --bench throughput -- --growth`: how cost grows with the tensor, from where every dispatch costs the
//! same to where only bytes count.

use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use testkit::bench::shapes::{Case, Work};
use wgpu_batchnorm::{Context, StorageType, wgpu};

use crate::device::{Device, Record, are_enough, medians};
use crate::layer::Layer;
use crate::roof::{Roof, TENSORS_COPIED};
use crate::values;

const SMALLEST: u64 = 4 << 10;
const LARGEST: u64 = 1 << 30;
/// Where only bytes count on a software adapter, too.
const LARGEST_IN_SOFTWARE: u64 = 1 << 26;
/// Where nothing is measured.
const LARGEST_IN_TESTS: u64 = 1 << 16;

const WORKS: [Work; 3] = [Work::Evaluation, Work::TrainingForward, Work::TrainingStep];
/// Those and the copy kernel.
const COLUMNS: [(&str, u64); 4] = [
    ("copy", TENSORS_COPIED),
    ("evaluation", WORKS[0].tensors_moved()),
    ("training", WORKS[1].tensors_moved()),
    ("step", WORKS[2].tensors_moved()),
];

/// One tensor's times in nanoseconds, in the order of `COLUMNS`.
struct Row {
    case: Case,
    plan: String,
    wall: [f64; 4],
    clock: Option<[f64; 4]>,
}

/// Prints a table for each family of shapes and each clock.
pub fn run(device: &Device, measuring: bool) {
    let context = Context::new(&device.gpu.device);
    let roof = Roof::new(device);
    println!("{}", device.gpu.describe());
    let sizes = sizes(device, measuring);
    for (title, family) in [("64 channels first", channels_first as fn(u64) -> Case), ("rows of 256", rows)] {
        let mut grown = Vec::new();
        for bytes in sizes.iter().copied() {
            if !fits(device, bytes) {
                println!("x of {} and more does not fit the device's memory six times.", size(bytes));
                break;
            }
            grown.push(row(device, &context, &roof, family(bytes), measuring));
        }
        if measuring {
            print(&format!("{title}, wall clock"), &grown, |row| Some(row.wall));
            print(&format!("{title}, the device's clock"), &grown, |row| row.clock);
        }
    }
}

/// C = 64; planes grow up to 64×64, then batches do.
fn channels_first(bytes: u64) -> Case {
    let positions = bytes / (4 * 64);
    let side = positions.min(64 * 64).isqrt();
    Case::new(&format!("{}x64x{side}x{side}", positions / (side * side)))
}

fn rows(bytes: u64) -> Case {
    Case::new(&format!("{}x256", bytes / (4 * 256)))
}

/// Powers of 4, and the largest binding at last.
fn sizes(device: &Device, measuring: bool) -> Vec<u64> {
    let limits = device.gpu.device.limits();
    let bound = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let wanted = match (measuring, device.software) {
        (false, _) => LARGEST_IN_TESTS,
        (true, true) => LARGEST_IN_SOFTWARE,
        (true, false) => LARGEST,
    };
    let largest = wanted.min(1 << bound.ilog2());
    let mut sizes: Vec<u64> =
        (0..).map(|k| SMALLEST << (2 * k)).take_while(|&bytes| bytes < largest).collect();
    sizes.push(largest);
    if largest < wanted {
        println!("Ends with x of {}, the largest that the device binds.", size(largest));
    }
    sizes
}

/// Whether the device has room for x, y, dy and dx, and for x and dy on their way.
fn fits(device: &Device, bytes: u64) -> bool {
    let scope = device.gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let tensors: [_; 6] = std::array::from_fn(|_| device.gpu.empty((bytes / 4) as usize));
    drop(tensors);
    pollster::block_on(scope.pop()).is_none()
}

fn row(device: &Device, context: &Context, roof: &Roof<'_>, case: Case, measuring: bool) -> Row {
    let (x, dy) = values(&case);
    let layer = Layer::new(device, context, &case, StorageType::Float32, &x, &dy);
    let copies = roof.best(&layer.tensors(), if measuring { 3 } else { 1 });
    let record = |work| {
        let layer = &layer;
        move |pass: &mut wgpu::ComputePass<'_>, i| layer.record(work, pass, i)
    };
    let [evaluation, training, step] = WORKS.map(record);
    let works: [Record<'_>; 4] = [&|pass, i| copies.record(pass, i), &evaluation, &training, &step];
    let plan = layer.plans(Work::TrainingForward)[0].path().to_string();
    let clock = if measuring { device.nanoseconds(works) } else { None };
    Row { case, plan, wall: wall(device, works, measuring), clock }
}

/// Nanoseconds of one iteration of each: medians over rounds in which they take turns.
pub fn wall<const N: usize>(device: &Device, works: [Record<'_>; N], measuring: bool) -> [f64; N] {
    let (rounds, least) = if measuring { (15, Duration::from_secs(1)) } else { (1, Duration::ZERO) };
    let mut times = [const { Vec::new() }; N];
    let start = Instant::now();
    while !are_enough(times[0].len(), rounds, start) || start.elapsed() < least {
        for (times, record) in times.iter_mut().zip(works) {
            let batch = device.batch();
            times.push(device.time_passes(batch, record).as_secs_f64() * 1e9 / batch as f64);
        }
    }
    medians(times)
}

fn print(title: &str, rows: &[Row], times: impl Fn(&Row) -> Option<[f64; 4]>) {
    let rows: Vec<(&Row, [f64; 4])> = rows.iter().filter_map(|row| Some((row, times(row)?))).collect();
    let (Some((smallest, fixed)), Some((largest, slowest))) = (rows.first(), rows.last()) else { return };

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let columns = |unit: &str| COLUMNS.map(|(name, _)| format!("{name} {unit}"));
    let text = ["size of x", "tensor", "plan"].map(String::from);
    table.set_header(text.into_iter().chain(columns("µs")).chain(columns("GB/s")).chain(["× copy".into()]));
    for (row, times) in &rows {
        let speeds = COLUMNS.iter().zip(times).map(|((_, tensors), time)| speed(row, *tensors, *time));
        let text = [size(row.case.bytes()), row.case.name.clone(), row.plan.clone()];
        table.add_row(
            text.into_iter()
                .chain(times.map(|time| format!("{:.1}", time * 1e-3)))
                .chain(speeds.map(|speed| format!("{speed:.2}")))
                .chain([format!("{:.2}", times[2] / times[0])]),
        );
    }
    table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("\n{title}\n{table}");

    let [smallest_size, largest_size] = [smallest, largest].map(|row| size(row.case.bytes()));
    for (i, (name, tensors)) in COLUMNS.into_iter().enumerate() {
        let speed = speed(largest, tensors, slowest[i]);
        let even = fixed[i] * speed / tensors as f64;
        println!(
            "{name}: {:.1} µs at {smallest_size}, {speed:.2} GB/s at {largest_size}; as much overhead as bytes at {}",
            fixed[i] * 1e-3,
            size(even as u64),
        );
    }
}

/// GB/s
fn speed(row: &Row, tensors: u64, nanoseconds: f64) -> f64 {
    (tensors * row.case.bytes()) as f64 / nanoseconds
}

fn size(bytes: u64) -> String {
    let (unit, power) =
        [("GiB", 30), ("MiB", 20)].into_iter().find(|(_, p)| bytes >> p > 0).unwrap_or(("KiB", 10));
    format!("{} {unit}", bytes >> power)
}
