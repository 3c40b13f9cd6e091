//! Times every plan that a shape can take on this machine, beside the one the layer chooses:
//!
//!     cargo run --release --example plans -- 32x64x56x56 [--last]
//!
//! A shape is N x C x spatial axes; --last puts C last. Times are medians of single submissions, waited for.

use std::error::Error;
use std::time::Instant;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, Context, Path, PlanRequest, PrepareError, Shape, Training,
    View, wgpu,
};

/// Times every plan that a shape can take on this machine.
#[derive(Parser)]
struct Arguments {
    /// N x C x spatial axes, such as 32x64x56x56.
    #[arg(value_parser = axes)]
    shape: Axes,
    /// Channels last in memory: N, spatial axes, C.
    #[arg(long)]
    last: bool,
    /// Submissions that a median is taken over.
    #[arg(long, default_value_t = 15)]
    repeat: usize,
}

#[derive(Clone)]
struct Axes(Vec<u32>);

fn axes(text: &str) -> Result<Axes, String> {
    let axes: Result<Vec<u32>, _> = text.split('x').map(str::parse).collect();
    match axes {
        Ok(axes) if axes.len() >= 2 => Ok(Axes(axes)),
        _ => Err(format!("required at least two axes, such as 4096x256, given {text:?}")),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { shape: Axes(axes), last, repeat } = Arguments::parse();
    let shape = match last {
        true => Shape::channels_last(axes[0], &axes[2..], axes[1]),
        false => Shape::channels_first(axes[0], axes[1], &axes[2..]),
    };
    let gpu = Gpu::new()?;
    println!("{}\n{shape}\n", gpu.describe());
    let bench = Bench::new(&gpu, shape)?;

    let mut rows = Vec::new();
    for request in requests() {
        // What this shape or device does not allow is left out.
        if let Ok((plan, times)) = bench.time(request, repeat) {
            rows.push((request == PlanRequest::default(), plan, times));
        }
    }
    rows.sort_by(|a, b| a.2[0].total_cmp(&b.2[0]));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "",
        "plan",
        "training, ms",
        "predicted",
        "with backward, ms",
        "predicted",
    ]);
    for (chosen, plan, times) in rows {
        let mark = if chosen { "chosen" } else { "" };
        table.add_row([mark.into(), plan].into_iter().chain(times.map(|time| format!("{time:.3}"))));
    }
    for column in 2..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    Ok(())
}

fn requests() -> Vec<PlanRequest> {
    let mut requests = vec![PlanRequest::default()];
    for view in [View::Planes, View::Rows] {
        for packet in [1, 4, 16] {
            for workgroup in [8, 32, 64, 256] {
                for tile in [1, 4, 8, 32, 64, 256] {
                    let request =
                        PlanRequest::new().view(view).packet(packet).workgroup(workgroup).tile(tile);
                    requests.extend([Path::Persistent, Path::Cached, Path::Split].map(|p| request.path(p)));
                    requests.extend([4, 16, 64].map(|splits| request.path(Path::Split).splits(splits)));
                }
            }
        }
    }
    requests
}

/// A layer and its tensors.
struct Bench<'a> {
    gpu: &'a Gpu,
    norm: BatchNorm,
    shape: Shape,
    tensors: [wgpu::Buffer; 4],
    gradients: [wgpu::Buffer; 2],
}

impl<'a> Bench<'a> {
    fn new(gpu: &'a Gpu, shape: Shape) -> Result<Self, Box<dyn Error>> {
        let features = shape.features();
        let descriptor = BatchNormDescriptor { features, ..Default::default() };
        let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor)?;
        let values: Vec<f32> = (0..shape.elements()).map(|i| (i * 7919 % 1009) as f32 / 100.0).collect();
        let tensors = std::array::from_fn(|_| gpu.upload(&values));
        let gradients = std::array::from_fn(|_| gpu.empty(features as usize));
        Ok(Self { gpu, norm, shape, tensors, gradients })
    }

    /// The plan, and milliseconds of training forward and of forward and backward: the median, and as predicted.
    fn time(&self, plan: PlanRequest, repeat: usize) -> Result<(String, [f64; 4]), PrepareError> {
        let whole = wgpu::Buffer::as_entire_buffer_binding;
        let [x, y, dy, dx] = &self.tensors;
        let training = Training::new(whole(x), whole(y)).plan(plan);
        let forward = self.norm.prepare_training(self.shape, training)?;
        let backward = Backward::of(whole(dy))
            .input_gradient(whole(dx))
            .weight_gradient(whole(&self.gradients[0]))
            .bias_gradient(whole(&self.gradients[1]))
            .plan(plan);
        let backward = self.norm.prepare_backward(&forward, backward)?;
        let alone = self.median(repeat, |pass| forward.record(pass));
        let both = self.median(repeat, |pass| {
            forward.record(pass);
            backward.record(pass);
        });
        let text = forward.plan().request().to_string();
        let predicted = [forward.plan(), backward.plan()].map(|plan| plan.predicted().as_secs_f64() * 1e3);
        Ok((text, [alone, predicted[0], both, predicted[0] + predicted[1]]))
    }

    fn median(&self, repeat: usize, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> f64 {
        let run = || self.gpu.run(&record).expect("the device works");
        run();
        let mut times: Vec<f64> = (0..repeat.max(1))
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }
}
