//! `cargo bench`: how fast the layer is, against copying its tensor on the same device and against the CPU.

mod check;
mod compare;
mod cpu;
mod device;
mod epilogue;
mod growth;
mod layer;
mod roof;
mod storage;
mod table;
mod tuned;
mod vector;

use std::cell::{LazyCell, RefCell};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use rand::{SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Normal};
use rayon::ThreadPool;
use testkit::bench::shapes::{Case, Work, group};
use testkit::gpu::{download, whole};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{Context, StorageType};

use device::Device;
use layer::Layer;
use roof::{Copies, Roof, TENSORS_COPIED};
use table::{Measured, Who};

const ABOUT: &str = "\
Throughput of batch normalization: the layer on the device (gpu), the CPU on all threads and on one (cpu_all, cpu_1),
and what a copy of the tensor costs on the same device (copy_kernel, the best of several; copy_buffer).
Ids are work/shape/who, to be filtered by a regular expression: cargo bench -- 'evaluation/.*/(gpu|copy_kernel)'.
Ends with a table, which is also written to target/throughput.json.
    --growth   measures tensors from 4 KiB to 1 GiB instead (64 MiB on a software adapter), of the layer and the copy kernel
    --storage  measures float32, float16 and bfloat16 instead, beside copies of as many bytes; of the tensors that are
               named after it, such as 32x64x56x56, or of all that are not large
    --epilogues  measures ReLU, and a residual and ReLU, fused into the layer, beside the kernels that a user would write;
               of the tensors that are named after it, or of the everyday ones
    --tuned    tunes the plans of the tensors that are named after it, or of all that are not large, and measures them in turns
               with the plans that are chosen by default; prints the regret of these and writes target/regret.json.
               --budget SECONDS is how long each is tuned (default: 2)
    --compare  measures nothing: one table of throughput.json, peers.json (from peers/) and torch.json (from
               scripts/torch_batchnorm.py)

Where Rust is not installed: copy target/release/deps/throughput-<hash>, which `cargo bench --no-run` builds and names,
and run it as `throughput-<hash> --bench`. It needs nothing but a Vulkan loader and a driver, and writes to
$CARGO_TARGET_DIR, or else to ./target. WGPU_ADAPTER_NAME chooses among adapters.
";

/// Values of a tensor where nothing is measured: larger ones take minutes on a software adapter.
const LARGEST_IN_TESTS: usize = 2 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| arguments.iter().any(|argument| argument == name);
    if given("--help") || given("-h") {
        println!("{ABOUT}");
    }
    if given("--compare") {
        return compare::run();
    }
    let measuring = given("--bench") && !given("--test");
    if given("--growth") {
        return growth::run(&device(), measuring);
    }
    let named = |option: &str| -> Option<Vec<String>> {
        let at = arguments.iter().position(|argument| argument == option)?;
        Some(arguments[at + 1..].iter().take_while(|name| !name.starts_with('-')).cloned().collect())
    };
    if let Some(named) = named("--storage") {
        return storage::run(&device(), &named, measuring);
    }
    if let Some(tensors) = named("--tuned") {
        let budget = named("--budget").map_or(2.0, |given| match given.first().map(|text| text.parse()) {
            Some(Ok(seconds)) if seconds > 0.0 && seconds < 1e6 => seconds,
            _ => panic!("--budget: required seconds, given {given:?}"),
        });
        return tuned::run(&device(), &tensors, Duration::from_secs_f64(budget), measuring);
    }
    if let Some(named) = named("--epilogues") {
        return epilogue::run(&device(), &named, measuring);
    }

    // Some 200 measurements in all, of a second and a half each.
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .nresamples(2000)
        .configure_from_args();
    let device = device();
    check::cpu();

    let bench = Bench {
        context: Context::new(&device.gpu.device),
        roof: Roof::new(&device),
        rounds: if measuring { 5 } else { 1 },
        all_threads: threads(0),
        one_thread: threads(1),
        device: &device,
    };
    let mut results = Measured::new(device.gpu.describe());
    let small = |case: &Case| case.elements() <= LARGEST_IN_TESTS;
    let chosen = |name| group(name).into_iter().filter(|case| measuring || small(case));
    for case in chosen("everyday") {
        bench.case(&mut criterion, &mut results, &case, &Who::ALL);
    }
    let large = (!device.software).then_some("large");
    for case in ["awkward"].into_iter().chain(large).flat_map(chosen) {
        bench.case(&mut criterion, &mut results, &case, &[Who::Gpu, Who::CopyKernel]);
    }
    criterion.final_summary();
    results.report();
}

fn device() -> Device {
    Device::new(Gpu::new().unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1);
    }))
}

/// x and dy: normal, with a mean that is not zero; the same ones every time.
fn values(case: &Case) -> (Vec<f32>, Vec<f32>) {
    let mut rng = SmallRng::seed_from_u64(1502);
    let mut tensor = |mean, std| {
        let normal = Normal::new(mean, std).expect("finite");
        (0..case.elements()).map(|_| normal.sample(&mut rng)).collect()
    };
    (tensor(0.5, 2.0), tensor(0.1, 1.0))
}

fn threads(number: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(number).build().expect("threads")
}

/// What all cases share.
struct Bench<'a> {
    device: &'a Device,
    context: Context,
    roof: Roof<'a>,
    /// Rounds over the candidates for the best copy kernel.
    rounds: u32,
    all_threads: ThreadPool,
    one_thread: ThreadPool,
}

impl Bench<'_> {
    /// Measures all works on one tensor. The layer and the copy kernel follow each other, so that both meet the same
    /// load of the machine. Nothing is prepared that a filter leaves out.
    fn case(&self, criterion: &mut Criterion, results: &mut Measured, case: &Case, everyone: &[Who]) {
        let host = LazyCell::new(|| RefCell::new(Host::new(case)));
        let on_device = LazyCell::new(|| self.prepare(case, &mut host.borrow_mut()));
        for work in Work::ALL {
            let mut group = criterion.benchmark_group(work.name());
            group.sampling_mode(SamplingMode::Flat);
            for &who in everyone {
                let tensors = if who.copies() { TENSORS_COPIED } else { work.tensors_moved() };
                let bytes = tensors * case.bytes();
                let mut ran = false;
                group.throughput(Throughput::BytesDecimal(bytes));
                group.bench_function(BenchmarkId::new(&case.name, who), |bencher| {
                    ran = true;
                    // Not in the warm-up, from which criterion estimates how many iterations there is time for.
                    if let Who::CpuAll | Who::Cpu1 = who {
                        LazyCell::force(&host);
                    } else {
                        LazyCell::force(&on_device);
                    }
                    bencher.iter_custom(|iterations| match who {
                        Who::CpuAll => host.borrow_mut().time(&self.all_threads, work, iterations),
                        Who::Cpu1 => host.borrow_mut().time(&self.one_thread, work, iterations),
                        _ => self.time(&on_device, who, work, iterations),
                    });
                });
                if ran {
                    results.ran(work, case, who, bytes);
                    if who == Who::Gpu {
                        let (layer, copies) = &*on_device;
                        let gpu: device::Record<'_> = &|pass, i| layer.record(work, pass, i);
                        let clock = self.device.nanoseconds([gpu, &|pass, i| copies.record(pass, i)]);
                        results.describe(work, case, layer.plans(work), copies.kernel, clock);
                    }
                }
            }
            group.finish();
        }
    }

    /// The layer and the best copy on the device, after a look at what they compute.
    fn prepare(&self, case: &Case, host: &mut Host) -> (Layer, Copies) {
        let float32 = StorageType::Float32;
        let layer = Layer::new(self.device, &self.context, case, float32, &host.x, &host.dy);
        let gpu = &self.device.gpu;
        let result = || download::<f32>(&gpu.device, &gpu.queue, whole(layer.tensors()[0].1));
        let y = result();
        host.time(&self.all_threads, Work::TrainingForward, 1);
        let off = y.iter().zip(&host.y).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-4, "{}: the device's y is off by {off:e} from the CPU's", case.name);
        let copies = self.roof.best(&layer.tensors(), self.rounds);
        self.device.time_passes(1, &|pass, i| copies.record(pass, i));
        assert!(result() == host.x, "{}: the copy kernel did not copy", case.name);
        (layer, copies)
    }

    fn time(&self, on_device: &(Layer, Copies), who: Who, work: Work, iterations: u64) -> Duration {
        let (layer, copies) = on_device;
        let tensors = layer.tensors();
        match who {
            Who::Gpu => self.device.time_passes(iterations, &|pass, i| layer.record(work, pass, i)),
            Who::CopyKernel => self.device.time_passes(iterations, &|pass, i| copies.record(pass, i)),
            _ => self.device.time(iterations, |encoder, range| {
                for i in range {
                    let (x, y) = tensors[i as usize % tensors.len()];
                    encoder.copy_buffer_to_buffer(x, 0, y, 0, x.size());
                }
            }),
        }
    }
}

/// The tensors and the layer on the CPU.
struct Host {
    x: Vec<f32>,
    dy: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
    layer: cpu::Layer,
}

impl Host {
    fn new(case: &Case) -> Self {
        let (x, dy) = values(case);
        let (y, dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let layout = cpu::Layout::new(case);
        Self { x, dy, y, dx, layer: cpu::Layer::new(layout) }
    }

    fn time(&mut self, threads: &ThreadPool, work: Work, iterations: u64) -> Duration {
        let Self { x, dy, y, dx, layer } = self;
        let (x, dy) = (layer.layout.runs(x), layer.layout.runs(dy));
        let (mut y, mut dx) = (layer.layout.runs_mut(y), layer.layout.runs_mut(dx));
        threads.install(|| {
            let start = Instant::now();
            for _ in 0..iterations {
                match work {
                    Work::TrainingForward => layer.training_forward(&x, &mut y),
                    Work::Evaluation => layer.evaluation(&x, &mut y),
                    Work::Backward => layer.backward(&x, &dy, &mut dx),
                    Work::TrainingStep => {
                        layer.training_forward(&x, &mut y);
                        layer.backward(&x, &dy, &mut dx);
                    }
                }
            }
            start.elapsed()
        })
    }
}
