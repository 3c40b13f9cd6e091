//! What the example prints.

use comfy_table::{CellAlignment, LineStyle, Table, presets};

use super::population::{Deviation, Population};
use super::timing::Timing;
use super::{IMAGES, MOMENTUM, PIXELS, Run};

pub fn print_times(runs: &[Run], evaluation: &Timing) {
    let mut table = table(&["step", "in an epoch", "path", "GPU", "CPU reference", "GPU throughput"]);
    let trainings = runs.iter().map(|run| (run.name(), run.batches.len().to_string(), &run.training));
    for (name, steps, timing) in
        trainings.chain([(format!("evaluation of {IMAGES}"), String::new(), evaluation)])
    {
        let microseconds = |seconds: f64| format!("{:.1} µs", seconds * 1e6);
        let throughput = format!("{:.3} GB/s", timing.bytes / timing.gpu_seconds / 1e9);
        let [gpu, cpu] = [timing.gpu_seconds, timing.cpu_seconds].map(microseconds);
        table.add_row([name, steps, timing.path.clone(), gpu, cpu, throughput]);
    }
    println!("\nTime of a step (the CPU reference is float64, simple, on one thread)\n\n{table}");
    println!("\nTensors this small show what a dispatch costs; cargo bench measures large ones.");
}

pub fn print_differences(runs: &[Run]) {
    let mut table = table(&["", "y", "running_mean", "running_var", "y in evaluation"]);
    for run in runs {
        table.add_row([run.name()].into_iter().chain(run.differences.map(|d| format!("{d:.1e}"))));
    }
    println!(
        "\nWorst difference of GPU and CPU over the epoch, relative to the size of the values\n\n{table}"
    );
}

pub fn print_learned(runs: &[Run], data: &Population) {
    let pixels = [[0, 0], [3, 4], [5, 1]];
    let header = pixels.map(|[row, column]| [format!("mean {row},{column}"), "variance".into()]);
    let mut some = table(&[vec![String::new()], header.concat()].concat());
    let mut row = |name: String, mean: &dyn Fn(usize) -> f64, var: &dyn Fn(usize) -> f64| {
        let values = pixels.map(|[row, column]| 8 * row + column).map(|c| [mean(c), var(c)]).concat();
        some.add_row([name].into_iter().chain(values.iter().map(|value| format!("{value:.4}"))));
    };
    row("data".into(), &|c| data.mean[c], &|c| data.var[c]);
    for run in runs {
        row(run.name(), &|c| run.state.running_mean[c].into(), &|c| run.state.running_var[c].into());
    }
    println!(
        "\nRunning statistics of three pixels after the epoch (row,column; pixel 0,0 is always 0)\n\n{some}"
    );

    let mut all = table(&["", "start left", "mean", "expected", "worst", "variance", "expected", "worst"]);
    for run in runs {
        let (start, expected_mean, expected_var) = data.expected(&run.batches);
        let mean = Deviation::new(&run.state.running_mean, &data.mean);
        let var = Deviation::new(&run.state.running_var, &data.var);
        let numbers = [mean.typical, expected_mean, mean.worst, var.typical, expected_var, var.worst];
        let numbers = numbers.map(|number| format!("{number:.4}"));
        all.add_row([run.name(), format!("{:.2} %", start * 100.0)].into_iter().chain(numbers));
    }
    println!("\nRunning statistics of all {PIXELS} pixels after the epoch: how far from the data's\n\n{all}");
    println!(
        "
Root mean square over the pixels, and the worst. Expected is what an exponential average of momentum {MOMENTUM}
still holds of its start (mean 0 and variance 1, times {}^steps) and of the noise of its last batches; at
small batches the order of the images makes it a third more or less.",
        1.0 - MOMENTUM
    );
}

/// An empty table: names on the left, numbers on the right.
fn table(header: &[impl ToString]) -> Table {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table
        .load_style(presets::NOTHING.header_separator(rule))
        .set_header(header.iter().map(ToString::to_string));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
