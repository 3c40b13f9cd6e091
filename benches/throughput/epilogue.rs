//! `cargo bench --bench throughput -- --epilogues`: ReLU, and a residual and ReLU, fused into the layer, beside the layer
//! and the kernels that a user would write after it and before its backward.

use comfy_table::{CellAlignment, Table, presets};
use testkit::bench::shapes::{Case, named_or_of};
use testkit::gpu::{download, whole};
use testkit::kernel::{Dispatch, module, pipeline};
use testkit::layer::descriptor;
use wgpu_batchnorm::wgpu::{self, Buffer};
use wgpu_batchnorm::{
    Activation, Backward, BackwardStep, BatchNorm, Context, ForwardStep, PlanRequest, Shape, Training,
};

use crate::device::{Device, Record};
use crate::growth::wall;
use crate::values;

/// Values of a workgroup: INVOCATIONS of epilogue.wgsl, 16 each.
const VALUES: u64 = 64 * 16;

/// Prints a table of these tensors; of the everyday ones where none is named. Tensors of a multiple of four values.
pub fn run(device: &Device, named: &[String], measuring: bool) {
    let context = Context::new(&device.gpu.device);
    let cases = named_or_of(named, &["everyday"]);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let columns = ["forward apart", "fused", "step apart", "fused"].map(|name| format!("{name} µs"));
    let ratios = ["forward: fused / apart", "step: fused / apart"].map(String::from);
    table.set_header(
        ["tensor", "epilogue", "plans"].map(String::from).into_iter().chain(columns).chain(ratios),
    );
    for case in cases.iter().filter(|case| case.elements() % 4 == 0) {
        for residual in [false, true] {
            let works = Works::new(device, &context, case, residual);
            works.check(device);
            let records: [Record<'_>; 4] = [
                &|pass, _| works.forward_apart(pass),
                &|pass, _| works.fused.0.record(pass),
                &|pass, _| works.step_apart(pass),
                &|pass, _| works.step_fused(pass),
            ];
            let clock = if measuring { device.nanoseconds(records) } else { None };
            let times = clock.unwrap_or_else(|| wall(device, records, measuring));
            let plans = [works.fused.0.plan(), works.fused.1.plan()].map(|plan| plan.path().to_string());
            let text =
                [case.name.clone(), (if residual { "add, ReLU" } else { "ReLU" }).into(), plans.join(", ")];
            let ratios = [times[1] / times[0], times[3] / times[2]].map(|ratio| format!("{ratio:.2}"));
            table.add_row(text.into_iter().chain(times.map(|t| format!("{:.1}", t * 1e-3))).chain(ratios));
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

/// The layer with an epilogue fused, and with kernels beside it, on the same x, z and dy.
struct Works {
    apart: (ForwardStep, BackwardStep),
    fused: (ForwardStep, BackwardStep),
    after: Dispatch,
    before: Dispatch,
    /// y, dx and dz of each.
    results: [[Buffer; 3]; 2],
    residual: bool,
}

impl Works {
    fn new(device: &Device, context: &Context, case: &Case, residual: bool) -> Self {
        let (gpu, shape, len) = (&device.gpu, Shape::from(case), case.elements());
        let norm = BatchNorm::new(context, &descriptor(shape.features())).expect("the state fits any device");
        let (x, dy) = values(case);
        let z: Vec<f32> = x.iter().rev().copied().collect();
        let [x, z, dy] = [&x, &z, &dy].map(|values| gpu.upload(values));
        let results: [[Buffer; 3]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| gpu.empty(len)));
        let [[y, dx, g], [fused_y, fused_dx, dz]] = &results;
        let training = || Training::new(whole(&x), whole(y));
        let apart = steps(gpu, &norm, shape, training(), Backward::of(whole(g)).input_gradient(whole(dx)));
        let training = Training::new(whole(&x), whole(fused_y)).activation(Activation::Relu);
        let backward = Backward::of(whole(&dy)).input_gradient(whole(fused_dx));
        let fused = match residual {
            false => steps(gpu, &norm, shape, training, backward),
            true => {
                let backward = backward.residual_gradient(whole(dz));
                steps(gpu, &norm, shape, training.residual(whole(&z)), backward)
            }
        };
        let module = module(&gpu.device, "epilogues", include_str!("epilogue.wgsl"));
        let dispatch = |entry: &str, buffers: &[(u32, &Buffer)]| {
            let pipeline = pipeline(&gpu.device, &module, entry, &[]);
            let groups = (len as u64).div_ceil(VALUES) as u32;
            let rows = groups.div_ceil(65_535);
            let buffers = buffers.iter().map(|&(binding, buffer)| (binding, whole(buffer)));
            Dispatch::new(&gpu.device, &pipeline, buffers, [groups.div_ceil(rows), rows])
        };
        let after = match residual {
            false => dispatch("rectify", &[(0, y)]),
            true => dispatch("add_and_rectify", &[(0, y), (1, &z)]),
        };
        let before = dispatch("gradient", &[(0, y), (2, &dy), (3, g)]);
        Self { apart, fused, after, before, results, residual }
    }

    fn forward_apart(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.apart.0.record(pass);
        self.after.record(pass);
    }

    fn step_apart(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.forward_apart(pass);
        self.before.record(pass);
        self.apart.1.record(pass);
    }

    fn step_fused(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.fused.0.record(pass);
        self.fused.1.record(pass);
    }

    /// That both compute the same, but where rounding decides of a sign.
    fn check(&self, device: &Device) {
        let gpu = &device.gpu;
        gpu.run(|pass| {
            self.step_apart(pass);
            self.step_fused(pass);
        })
        .expect("the device was lost");
        let read = |buffer: &Buffer| download::<f32>(&gpu.device, &gpu.queue, whole(buffer));
        let tensors = if self.residual { 3 } else { 2 };
        for (apart, fused) in self.results[0].iter().zip(&self.results[1]).take(tensors) {
            let (apart, fused) = (read(apart), read(fused));
            let off = apart.iter().zip(&fused).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
            assert!(off <= apart.len() / 10_000, "{off} of {} values differ", apart.len());
        }
    }
}

fn steps(
    gpu: &wgpu_batchnorm::headless::Gpu,
    norm: &BatchNorm,
    shape: Shape,
    training: Training<'_>,
    backward: Backward<'_>,
) -> (ForwardStep, BackwardStep) {
    let [dweight, dbias] = std::array::from_fn(|_| gpu.empty(shape.features() as usize));
    let plan = PlanRequest::default();
    let forward = norm.prepare_training(shape, training.plan(plan)).expect("a plan");
    let backward = backward.weight_gradient(whole(&dweight)).bias_gradient(whole(&dbias)).plan(plan);
    let backward = norm.prepare_backward(&forward, backward).expect("a plan");
    (forward, backward)
}
