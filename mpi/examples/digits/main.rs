//! A network learns handwritten digits on as many devices as there are ranks. Each rank trains on its shard of every
//! batch, and all together learn what one process learns from the whole batches.
//!
//!     mpirun -n 4 target/debug/examples/digits --shards 20,1,0,39

mod data;
mod failure;
mod network;
mod work;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use safetensors::{Dtype, tensor::TensorView};
use wgpu_batchnorm::exchange::Exchange;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm_mpi::mpi::{self, Threading};
use wgpu_batchnorm_mpi::{MpiError, MpiRank};

use data::Images;
use failure::Failure;
use network::Network;
use work::{Mode, Work};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Trains a network with batch norm on shards of batches, one rank on each.
#[derive(Parser)]
struct Arguments {
    /// Images of each batch for each rank; by default equal shares of 60.
    #[arg(long, value_name = "IMAGES,..", value_delimiter = ',')]
    shards: Vec<usize>,
    /// Train on whole batches in one process, without this crate.
    #[arg(long)]
    whole: bool,
    /// How often each image is seen.
    #[arg(long, default_value_t = 3)]
    epochs: u64,
    /// Where rank 0 saves the network.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Seconds that a rank waits for the others before it ends all.
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// What befalls a rank in the tenth batch, to see what becomes of the others.
    #[arg(long, value_name = "RANK:WHAT", value_parser = failure::parse)]
    fail: Option<(usize, Failure)>,
    /// Folder with digits_images.u8 and digits_labels.u8.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data"))]
    data: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Drivers have threads, but only this one calls MPI.
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        eprintln!("error: MPI has been initialized already");
        return ExitCode::FAILURE;
    };
    // Before anything can fail on one rank alone: what drops this tells the others.
    let mut rank = MpiRank::world(&universe);
    if let Some(seconds) = arguments.time_limit {
        rank = rank.time_limit(Duration::from_secs(seconds));
    }
    let number = rank.rank();
    match run(&arguments, Timed { rank, spent: Duration::ZERO, exchanges: 0 }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one write, so that mpirun mixes it with no other rank's.
            let line = format!("rank {number}: error: {error}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, mut exchange: Timed<'_>) -> Result<()> {
    let (rank, ranks) = (exchange.rank.rank(), exchange.rank.size());
    let shards = match &arguments.shards[..] {
        [] => (0..ranks).map(|k| 60 * (k + 1) / ranks - 60 * k / ranks).collect(),
        shards if shards.len() == ranks => shards.to_vec(),
        shards => return Err(format!("{} shards for {ranks} ranks", shards.len()).into()),
    };
    if arguments.whole && ranks > 1 {
        return Err("--whole is for one process".into());
    }
    let failure = arguments.fail.and_then(|(of, failure)| (of == rank).then_some(failure));
    if failure == Some(Failure::NoDevice) {
        return Err("this rank has no device".into());
    }

    let network = Network::new(Gpu::new()?)?;
    let [training, test] = data::read(&arguments.data)?;
    let (batch, begin) = (shards.iter().sum(), shards[..rank].iter().sum::<usize>());
    let mode = if arguments.whole { Mode::Train } else { Mode::TrainShard { batch } };
    let work = Work::new(&network, shards[rank], mode)?;
    let batches = data::schedule(training.labels.len(), batch, arguments.epochs);
    let shard_of = |batch: &[usize]| training.select(&batch[begin..begin + shards[rank]]);
    let mut start = Instant::now();
    for (k, batch) in batches.iter().enumerate() {
        if k == 10 {
            failure.iter().for_each(|failure| failure.befall(&network.gpu));
            // The device has compiled everything by now.
            (start, exchange.spent, exchange.exchanges) = (Instant::now(), Duration::ZERO, 0);
        }
        work.run(&network, &shard_of(batch), &mut exchange)?;
    }
    let weights = network.weights()?.concat();
    let steps = batches.len().saturating_sub(10) as f64;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3 / steps;
    let (step, spent) = (milliseconds(start.elapsed()), milliseconds(exchange.spent));
    let exchanges = exchange.exchanges as f64 / steps;
    let same = same_on_all_ranks(&network, &mut exchange)?;
    // Nothing is exchanged from here on, and nobody shall wait for rank 0.
    drop(exchange);

    if rank == 0 {
        println!("{}", network.gpu.describe());
        println!("{ranks} ranks, shards {shards:?}, {} batches", batches.len());
        println!("{step:.2} ms a step, {spent:.2} ms of it in {exchanges:.0} exchanges");
        println!("accuracy {:.4}", accuracy(&network, &test)?);
        println!("every rank has the same bits: {same}; {} weights", weights.len());
        if let Some(file) = &arguments.save {
            save(&network, file)?;
        }
    }
    Ok(())
}

/// Whether all ranks have the same network, to the bit.
fn same_on_all_ranks(network: &Network, exchange: &mut impl Exchange<Error = MpiError>) -> Result<bool> {
    let mut own = network.weights()?.concat();
    for state in network.states()? {
        own.extend([state.weight, state.bias, state.running_mean, state.running_var].concat());
    }
    let all = exchange.all_gather(&own)?;
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    Ok(all.chunks(own.len()).all(|rank| bits(rank) == bits(&own)))
}

fn accuracy(network: &Network, images: &Images) -> Result<f64> {
    struct NoExchange;
    impl Exchange for NoExchange {
        type Error = MpiError;
        fn all_gather(&mut self, _: &[f32]) -> Result<Vec<f32>, MpiError> {
            unreachable!("evaluation exchanges nothing")
        }
        fn all_reduce(&mut self, _: &mut [f64]) -> Result<(), MpiError> {
            unreachable!("evaluation exchanges nothing")
        }
    }
    let work = Work::new(network, images.labels.len(), Mode::Evaluate)?;
    work.run(network, images, &mut NoExchange)?;
    work.accuracy(network, images)
}

fn save(network: &Network, file: &std::path::Path) -> Result<()> {
    let dense = network.weights()?.into_iter().enumerate().map(|(i, w)| (format!("dense.{i}.weight"), w));
    let mut tensors: Vec<(String, Vec<f32>)> = dense.collect();
    for (i, state) in network.states()?.into_iter().enumerate() {
        let vectors = [
            ("weight", state.weight),
            ("bias", state.bias),
            ("running_mean", state.running_mean),
            ("running_var", state.running_var),
        ];
        tensors.extend(vectors.into_iter().map(|(name, vector)| (format!("norm.{i}.{name}"), vector)));
    }
    let mut views = vec![];
    for (name, values) in &tensors {
        views.push((name, TensorView::new(Dtype::F32, vec![values.len()], bytemuck::cast_slice(values))?));
    }
    Ok(safetensors::serialize_to_file(views, None, file)?)
}

/// A rank, and how long it has been in exchanges.
struct Timed<'a> {
    rank: MpiRank<'a>,
    spent: Duration,
    exchanges: u32,
}

impl Timed<'_> {
    fn timed<T>(&mut self, exchange: impl FnOnce(&mut MpiRank<'_>) -> T) -> T {
        let start = Instant::now();
        let result = exchange(&mut self.rank);
        self.spent += start.elapsed();
        self.exchanges += 1;
        result
    }
}

impl Exchange for Timed<'_> {
    type Error = MpiError;

    fn all_gather(&mut self, values: &[f32]) -> Result<Vec<f32>, MpiError> {
        self.timed(|rank| rank.all_gather(values))
    }

    fn all_reduce(&mut self, values: &mut [f64]) -> Result<(), MpiError> {
        self.timed(|rank| rank.all_reduce(values))
    }
}
