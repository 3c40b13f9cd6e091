//! What an exchange costs, of how much of it the device can work meanwhile, and what folding costs with many ranks.
//!
//!     mpirun -n 4 target/release/examples/cost

use std::hint::black_box;
use std::time::{Duration, Instant};

use testkit::gpu::whole;
use wgpu_batchnorm::exchange::{
    Exchange, exchange_gradient_sums, exchange_moments, merge_records, record_of,
};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{BatchNorm, BatchNormDescriptor, Context, ForwardStep, Shape, Training, cpu, wgpu};
use wgpu_batchnorm_mpi::mpi::{self, Threading};
use wgpu_batchnorm_mpi::{MpiError, MpiRank};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const FEATURES: [u32; 3] = [64, 256, 2048];
const TURNS: usize = 201;
/// How much longer a message takes, in the place of a slow network.
const SLOW: Duration = Duration::from_millis(20);
const SLOW_TURNS: usize = 21;
const MANY: usize = 1000;

fn main() -> Result<()> {
    let (universe, _) = mpi::initialize_with_threading(Threading::Funneled).ok_or("MPI is initialized")?;
    let mut rank = MpiRank::world(&universe);
    let gpu = Gpu::new()?;
    let context = Context::new(&gpu.device);
    if rank.rank() == 0 {
        println!("{}; {} ranks; medians", gpu.describe(), rank.size());
        println!("  features    moments  of it MPI       sums  of it MPI");
    }
    for features in FEATURES {
        exchanges(&gpu, &context, &mut rank, features)?;
    }
    overlap(&gpu, &context, &mut rank)?;
    if rank.rank() == 0 {
        fold();
    }
    Ok(())
}

fn layer(context: &Context, features: u32) -> Result<BatchNorm> {
    Ok(BatchNorm::new(context, &BatchNormDescriptor { features, ..Default::default() })?)
}

/// A record of zeros.
fn record(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.empty(bytes as usize / 4)
}

fn exchanges(gpu: &Gpu, context: &Context, rank: &mut MpiRank<'_>, features: u32) -> Result<()> {
    let norm = layer(context, features)?;
    let (moments, sums) = (record(gpu, norm.moments_bytes()), record(gpu, norm.gradient_sums_bytes()));
    let mut exchange = Observed { rank, spent: Duration::ZERO, slow: Duration::ZERO, meanwhile: &mut || {} };
    let mut times = [const { vec![] }; 4];
    for _ in 0..TURNS {
        let start = Instant::now();
        pollster::block_on(exchange_moments(&norm, &gpu.queue, whole(&moments), &mut exchange))?;
        let of_moments = (start.elapsed(), exchange.spent);
        let start = Instant::now();
        let (shard, all) = (whole(&sums), whole(&sums));
        pollster::block_on(exchange_gradient_sums(&norm, &gpu.queue, shard, all, &mut exchange))?;
        let of_turn = [of_moments.0, of_moments.1, start.elapsed(), exchange.spent];
        times.iter_mut().zip(of_turn).for_each(|(times, time)| times.push(time));
    }
    if exchange.rank.rank() == 0 {
        let [moments, mpi_of_moments, sums, mpi_of_sums] = times.map(median).map(microseconds);
        println!("  {features:8} {moments:>10} {mpi_of_moments:>10} {sums:>10} {mpi_of_sums:>10}");
    }
    Ok(())
}

/// How long rank 0 takes for an exchange over a slow network, and for work that does not depend on it.
fn overlap(gpu: &Gpu, context: &Context, rank: &mut MpiRank<'_>) -> Result<()> {
    let own = rank.rank();
    let norm = layer(context, 64)?;
    let moments = record(gpu, norm.moments_bytes());
    let work = IndependentWork::new(gpu, context)?;
    let mut turn = |before: bool, meanwhile: bool, exchanged: bool| -> Result<Duration> {
        let mut times = vec![];
        for _ in 0..SLOW_TURNS {
            // All begin together.
            rank.all_reduce(&mut [])?;
            let start = Instant::now();
            if own == 0 && before {
                work.submit();
            }
            let mut submit = || work.submit();
            let mut nothing = || {};
            let meanwhile: &mut dyn FnMut() = if own == 0 && meanwhile { &mut submit } else { &mut nothing };
            let mut exchange = Observed { rank: &mut *rank, spent: Duration::ZERO, slow: SLOW, meanwhile };
            if exchanged {
                pollster::block_on(exchange_moments(&norm, &gpu.queue, whole(&moments), &mut exchange))?;
            }
            gpu.device.poll(wgpu::PollType::wait_indefinitely())?;
            times.push(start.elapsed());
        }
        Ok(median(times))
    };
    let rows = [
        ("device work alone", turn(true, false, false)?),
        ("an exchange alone", turn(false, false, true)?),
        ("the work submitted before the exchange", turn(true, false, true)?),
        ("the work submitted in the exchange", turn(false, true, true)?),
    ];
    if own == 0 {
        println!("Rank 0, where a message takes {SLOW:?} longer:");
        rows.into_iter().for_each(|(what, time)| println!("  {what:40} {:>10}", microseconds(time)));
    }
    Ok(())
}

/// Work on the device that an exchange needs not wait for, such as the gradient of another layer's weights.
struct IndependentWork<'a> {
    gpu: &'a Gpu,
    step: ForwardStep,
    /// How often the step is to be done to take as long as a slow message.
    times: u32,
}

impl<'a> IndependentWork<'a> {
    fn new(gpu: &'a Gpu, context: &Context) -> Result<Self> {
        let shape = Shape::channels_first(32, 64, &[14, 14]);
        let [x, y] = [0; 2].map(|_| gpu.empty(shape.elements() as usize));
        let norm = layer(context, 64)?;
        let step = norm.prepare_training(shape, Training::new(whole(&x), whole(&y)))?;
        let mut work = Self { gpu, step, times: 1 };
        let mut times = vec![];
        for _ in 0..TURNS {
            let start = Instant::now();
            work.submit();
            gpu.device.poll(wgpu::PollType::wait_indefinitely())?;
            times.push(start.elapsed());
        }
        work.times = 1.max((SLOW.as_secs_f64() / median(times).as_secs_f64()) as u32);
        Ok(work)
    }

    fn submit(&self) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        (0..self.times).for_each(|_| self.step.record(&mut pass));
        drop(pass);
        self.gpu.queue.submit([encoder.finish()]);
    }
}

/// What one rank of many does with all their moments.
fn fold() {
    println!("Folding the moments of {MANY} ranks:");
    for features in FEATURES {
        let (c, moments) = (features as usize, cpu::Moments { count: 32.0, mean: 1.0, variance: 1.0 });
        let ranks = record_of(&vec![moments; c], c).repeat(MANY);
        let time = || {
            let start = Instant::now();
            black_box(record_of(&merge_records(black_box(&ranks).chunks(4 * c), c), c));
            start.elapsed()
        };
        println!("  {features:8} {:>10}", microseconds(median((0..TURNS / 10).map(|_| time()).collect())));
    }
}

/// A rank, how long its last exchange was, and what it does on the way.
struct Observed<'a, 'universe> {
    rank: &'a mut MpiRank<'universe>,
    spent: Duration,
    slow: Duration,
    meanwhile: &'a mut dyn FnMut(),
}

impl Exchange for Observed<'_, '_> {
    type Error = MpiError;

    fn all_gather(&mut self, values: &[f32]) -> Result<Vec<f32>, MpiError> {
        (self.meanwhile)();
        std::thread::sleep(self.slow);
        let start = Instant::now();
        let result = self.rank.all_gather(values);
        self.spent = start.elapsed();
        result
    }

    fn all_reduce(&mut self, values: &mut [f64]) -> Result<(), MpiError> {
        let start = Instant::now();
        let result = self.rank.all_reduce(values);
        self.spent = start.elapsed();
        result
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn microseconds(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}
