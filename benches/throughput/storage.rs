//! `cargo bench --bench throughput -- --storage`: the layer on tensors of each storage type, beside copying as many bytes.

use comfy_table::{CellAlignment, Table, presets};
use testkit::bench::shapes::{Case, Work, named_or_of};
use wgpu_batchnorm::{Context, Shape, StorageType, wgpu};

use crate::device::{Device, Record};
use crate::growth::wall;
use crate::layer::Layer;
use crate::roof::{Roof, TENSORS_COPIED};
use crate::values;

const WORKS: [Work; 3] = [Work::Evaluation, Work::TrainingForward, Work::TrainingStep];
/// Those and the copy kernel, each with how often it reads or writes the tensor.
const COLUMNS: [(&str, u64); 4] = [
    ("copy", TENSORS_COPIED),
    ("evaluation", WORKS[0].tensors_moved()),
    ("training", WORKS[1].tensors_moved()),
    ("step", WORKS[2].tensors_moved()),
];

/// Prints a table of these tensors; of the everyday and the awkward ones where none is named.
pub fn run(device: &Device, named: &[String], measuring: bool) {
    let context = Context::new(&device.gpu.device);
    let roof = Roof::new(device);
    let cases = named_or_of(named, &["everyday", "awkward"]);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let columns = |unit: &str| COLUMNS.map(|(name, _)| format!("{name} {unit}"));
    let text = ["tensor", "storage", "plan"].map(String::from);
    let ratios = ["training / copy", "step / copy", "step / float32's"].map(String::from);
    table.set_header(text.into_iter().chain(columns("µs")).chain(columns("GB/s")).chain(ratios));
    for case in &cases {
        let mut float32 = None;
        for storage in StorageType::ALL {
            let (plan, times) = measure(device, &context, &roof, case, storage, measuring);
            let step = times[3];
            let bytes = Shape::from(case).bytes_of(storage);
            let speeds = COLUMNS.iter().zip(times).map(|((_, moved), time)| (moved * bytes) as f64 / time);
            let ratios = [times[2] / times[0], step / times[0], step / *float32.get_or_insert(step)];
            table.add_row(
                [case.name.clone(), storage.to_string(), plan]
                    .into_iter()
                    .chain(times.map(|time| format!("{:.1}", time * 1e-3)))
                    .chain(speeds.map(|speed| format!("{speed:.2}")))
                    .chain(ratios.map(|ratio| format!("{ratio:.2}"))),
            );
        }
    }
    table.column_iter_mut().skip(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    if measuring {
        println!(
            "{}\nMedians of wall-clock time, or of the device's where it has a clock.",
            device.gpu.describe()
        );
        println!("{table}");
    }
}

/// The plan of training, and nanoseconds in the order of `COLUMNS`.
fn measure(
    device: &Device,
    context: &Context,
    roof: &Roof<'_>,
    case: &Case,
    storage: StorageType,
    measuring: bool,
) -> (String, [f64; 4]) {
    let (x, dy) = values(case);
    let layer = Layer::new(device, context, case, storage, &x, &dy);
    let copies = roof.best(&layer.tensors(), if measuring { 3 } else { 1 });
    let record = |work| {
        let layer = &layer;
        move |pass: &mut wgpu::ComputePass<'_>, i| layer.record(work, pass, i)
    };
    let [evaluation, training, step] = WORKS.map(record);
    let works: [Record<'_>; 4] = [&|pass, i| copies.record(pass, i), &evaluation, &training, &step];
    let plan = layer.plans(Work::TrainingForward)[0].request().to_string();
    let clock = if measuring { device.nanoseconds(works) } else { None };
    (plan, clock.unwrap_or_else(|| wall(device, works, measuring)))
}
