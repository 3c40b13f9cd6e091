//! Synchronised batch norm: shards on devices of their own, as the unsharded batch.

use testkit::close::assert_trained;
use testkit::gpu::{download, whole};
use testkit::hard::Data;
use testkit::layer::descriptor;
use testkit::random::{state, tensor};
use testkit::train::Trained;
use wgpu_batchnorm::exchange::{
    Exchange, ExchangeError, RankLeft, ThreadRank, exchange_gradient_sums, exchange_gradient_sums_of_layers,
    exchange_moments, exchange_moments_of_layers, moments_of, threads,
};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu::{self, Buffer};
use wgpu_batchnorm::{
    Backward, BatchNorm, Context, Evaluation, Finalize, FinalizeGradients, Moments, ReadError, Shape, State,
    Tensor, cpu,
};

/// Each rank's work on a thread of its own, in the order of ranks.
fn on_ranks<T: Send>(ranks: usize, work: impl Fn(ThreadRank) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            threads(ranks).into_iter().map(|rank| scope.spawn(move || work(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A rank's device, and its replica of the layer.
struct Rank {
    gpu: Gpu,
    norm: BatchNorm,
    exchange: ThreadRank,
}

impl Rank {
    fn new(exchange: ThreadRank, features: u32, before: &State) -> Self {
        let gpu = Gpu::with_limits(|_| wgpu::Limits::default()).unwrap();
        let norm = BatchNorm::new(&Context::new(&gpu.device), &descriptor(features)).unwrap();
        norm.set_state(&gpu.queue, before).unwrap();
        Self { gpu, norm, exchange }
    }

    fn read(&self, buffer: &Buffer) -> Vec<f32> {
        download(&self.gpu.device, &self.gpu.queue, whole(buffer))
    }

    fn record(&self, bytes: u64) -> Buffer {
        self.gpu.empty(bytes as usize / 4)
    }

    /// Training and backward of a shard.
    fn train(mut self, shape: Shape, x: &[f32], dy: &[f32]) -> Trained {
        let (gpu, norm) = (&self.gpu, &self.norm);
        let upload = |values: &[f32]| if values.is_empty() { gpu.empty(1) } else { gpu.upload(values) };
        let [x, y, dy, dx] = [x, x, dy, dy].map(upload);
        let record = self.record(norm.moments_bytes());
        let [shard, all] = [0, 1].map(|_| self.record(norm.gradient_sums_bytes()));
        let [dweight, dbias] = [0, 1].map(|_| gpu.empty(norm.features() as usize));

        let moments = norm.prepare_moments(shape, Moments::new(whole(&x), whole(&record))).unwrap();
        let finalize = norm.prepare_finalize(Finalize::new(whole(&record), 1)).unwrap();
        let apply = norm.prepare_apply(&finalize, shape, Evaluation::new(whole(&x), whole(&y))).unwrap();
        let sums = norm.prepare_gradient_sums(&apply, Backward::of(whole(&dy)), whole(&shard)).unwrap();
        let gradients = FinalizeGradients::new(whole(&all), 1)
            .weight_gradient(whole(&dweight))
            .bias_gradient(whole(&dbias));
        let gradients = norm.prepare_finalize_gradients(&finalize, gradients).unwrap();
        let input_gradient = Backward::of(whole(&dy)).input_gradient(whole(&dx));
        let input_gradient = norm.prepare_input_gradient(&apply, &gradients, input_gradient).unwrap();

        gpu.run(|pass| moments.record(pass)).unwrap();
        pollster::block_on(exchange_moments(norm, &gpu.queue, whole(&record), &mut self.exchange)).unwrap();
        gpu.run(|pass| {
            finalize.record(pass);
            apply.record(pass);
            sums.record(pass);
        })
        .unwrap();
        let exchanged =
            exchange_gradient_sums(norm, &gpu.queue, whole(&shard), whole(&all), &mut self.exchange);
        pollster::block_on(exchanged).unwrap();
        gpu.run(|pass| {
            gradients.record(pass);
            input_gradient.record(pass);
        })
        .unwrap();
        let len = shape.elements() as usize;
        Trained {
            y: self.read(&y)[..len].to_vec(),
            dx: self.read(&dx)[..len].to_vec(),
            dweight: self.read(&dweight),
            dbias: self.read(&dbias),
            state: pollster::block_on(norm.read_state(&gpu.queue)).unwrap(),
        }
    }
}

/// Trains a batch in shards of so many examples, and holds it against the whole.
fn check(shape: impl Fn(u32) -> Shape + Sync, shards: &[u32], data: Data) {
    let of_batch = shape(shards.iter().sum());
    let c = of_batch.features();
    let (x, dy, before) = (data.tensor(of_batch, 961), tensor(of_batch, 962), state(c, 963));
    let example = shape(1).elements() as usize;
    let trained = on_ranks(shards.len(), |exchange| {
        let k = exchange.rank();
        let begin = shards[..k].iter().sum::<u32>() as usize * example;
        let values = begin..begin + shards[k] as usize * example;
        Rank::new(exchange, c, &before).train(shape(shards[k]), &x[values.clone()], &dy[values])
    });
    let joined = |of: fn(&Trained) -> &Vec<f32>| trained.iter().flat_map(of).copied().collect();
    let first = &trained[0];
    for rank in &trained {
        assert!(rank.state == first.state, "every rank has the same bits");
        assert!((&rank.dweight, &rank.dbias) == (&first.dweight, &first.dbias));
    }
    let got = Trained { y: joined(|t| &t.y), dx: joined(|t| &t.dx), ..first.clone() };
    let reference = cpu::Layer::with_state(&descriptor(c), &before);
    assert_trained(&format!("{of_batch} in {shards:?}, {data:?}"), &got, of_batch, &reference, &x, &dy);
}

#[test]
fn uneven_shards_are_the_batch() {
    for data in [Data::Normal, Data::LargeMean, Data::RampUp] {
        check(|batch| Shape::rows(batch, 5), &[700, 1, 0, 323], data);
        check(|batch| Shape::channels_first(batch, 4, &[3, 3]), &[2, 5, 0, 1], data);
    }
}

#[test]
fn one_value_on_each_of_two_ranks_is_enough() {
    check(|batch| Shape::rows(batch, 3), &[1, 0, 1], Data::Normal);
}

#[test]
fn one_value_on_all_ranks_is_an_error() {
    let errors = on_ranks(3, |exchange| {
        let (k, mut rank) = (exchange.rank(), Rank::new(exchange, 3, &state(3, 971)));
        let (x, record) = (rank.gpu.upload(&[1.0, 2.0, 3.0]), rank.record(rank.norm.moments_bytes()));
        let shape = Shape::rows((k == 1).into(), 3);
        let moments = rank.norm.prepare_moments(shape, Moments::new(whole(&x), whole(&record))).unwrap();
        rank.gpu.run(|pass| moments.record(pass)).unwrap();
        let exchanged = exchange_moments(&rank.norm, &rank.gpu.queue, whole(&record), &mut rank.exchange);
        let result = pollster::block_on(exchanged);
        // The record stays that of the shard.
        let values = rank.read(&record);
        let moments = moments_of(&values, 3, rank.norm.parameter_stride() as usize);
        assert_eq!(moments[2].count, f64::from(u8::from(k == 1)));
        result
    });
    assert_eq!(errors, [0; 3].map(|_| Err(ExchangeError::OneValuePerFeature)));
}

/// A rank that cannot read its record tells the others; one that is gone is missed.
#[test]
fn an_error_on_one_rank_stops_no_other() {
    let results = on_ranks(3, |exchange| {
        let (k, mut rank) = (exchange.rank(), Rank::new(exchange, 3, &state(3, 981)));
        let (norm, queue) = (&rank.norm, &rank.gpu.queue);
        let usage = match k {
            1 => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            _ => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        };
        let record = rank.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: norm.moments_bytes(),
            usage,
            mapped_at_creation: false,
        });
        let moments = pollster::block_on(exchange_moments(norm, queue, whole(&record), &mut rank.exchange));
        let sums = (whole(&record), whole(&record));
        let sums =
            pollster::block_on(exchange_gradient_sums(norm, queue, sums.0, sums.1, &mut rank.exchange));
        if k == 2 {
            return [moments, sums, Ok(())];
        }
        let last = exchange_moments(norm, queue, whole(&record), &mut rank.exchange);
        [moments, sums, pollster::block_on(last)]
    });
    let read = |tensor| Err(ExchangeError::Read(ReadError::Usage { vector: tensor }));
    let (other, gone) = (|| Err(ExchangeError::OtherRank), || Err(ExchangeError::Exchange(RankLeft)));
    let want = [
        [other(), other(), gone()],
        [read(Tensor::Moments), read(Tensor::GradientSums), gone()],
        [other(), other(), Ok(())],
    ];
    assert_eq!(results, want);
}

/// A rank that counts its exchanges.
struct Counted(ThreadRank, usize);

impl Exchange for Counted {
    type Error = RankLeft;

    fn all_gather(&mut self, values: &[f32]) -> Result<Vec<f32>, RankLeft> {
        self.1 += 1;
        self.0.all_gather(values)
    }

    fn all_reduce(&mut self, values: &mut [f64]) -> Result<(), RankLeft> {
        self.1 += 1;
        self.0.all_reduce(values)
    }
}

/// Layers that share an exchange get what each gets by itself.
#[test]
fn layers_share_an_exchange() {
    let states = [3, 70, 1].map(|features| state(features, 987));
    on_ranks(3, |exchange| {
        let k = exchange.rank();
        let Rank { gpu, norm: first, exchange } = Rank::new(exchange, 3, &states[0]);
        let others = [70, 1].map(|c| BatchNorm::new(first.context(), &descriptor(c)).unwrap());
        let norms = [&first, &others[0], &others[1]];
        // Counts from 2 on, and variances that are not negative.
        let record = |norm: &BatchNorm, bytes: u64| {
            let shape = Shape::rows(bytes as u32 / 4, 1);
            let values = tensor(shape, u64::from(norm.features()) + k as u64).into_iter();
            gpu.upload(&values.map(|value| value.abs() + 2.0).collect::<Vec<_>>())
        };
        let moments = [0; 2].map(|_| norms.map(|norm| record(norm, norm.moments_bytes())));
        let sums = [0; 2].map(|_| norms.map(|norm| record(norm, norm.gradient_sums_bytes())));
        let (queue, mut exchange) = (&gpu.queue, Counted(exchange, 0));
        for (i, norm) in norms.iter().enumerate() {
            let of_moments = exchange_moments(norm, queue, whole(&moments[0][i]), &mut exchange);
            pollster::block_on(of_moments).unwrap();
            let sums = (whole(&sums[0][i]), whole(&sums[0][i]));
            let of_sums = exchange_gradient_sums(norm, queue, sums.0, sums.1, &mut exchange);
            pollster::block_on(of_sums).unwrap();
        }
        assert_eq!(exchange.1, 6);
        let layers = [0, 1, 2].map(|i| (norms[i], whole(&moments[1][i])));
        pollster::block_on(exchange_moments_of_layers(&layers, queue, &mut exchange)).unwrap();
        let layers = [0, 1, 2].map(|i| (norms[i], whole(&sums[1][i]), whole(&sums[1][i])));
        pollster::block_on(exchange_gradient_sums_of_layers(&layers, queue, &mut exchange)).unwrap();
        assert_eq!(exchange.1, 8);
        for [alone, together] in [moments, sums] {
            for (alone, together) in alone.iter().zip(&together) {
                let read = |buffer| download::<f32>(&gpu.device, queue, whole(buffer));
                assert_eq!(read(alone), read(together));
            }
        }
    });
}

#[test]
fn a_lost_device_is_an_error_on_every_rank() {
    let results = on_ranks(3, |exchange| {
        let (k, mut rank) = (exchange.rank(), Rank::new(exchange, 3, &state(3, 985)));
        let (norm, queue) = (&rank.norm, &rank.gpu.queue);
        let record = rank.record(norm.moments_bytes());
        if k == 1 {
            rank.gpu.device.destroy();
        }
        let of_moments = exchange_moments(norm, queue, whole(&record), &mut rank.exchange);
        let of_moments = pollster::block_on(of_moments);
        let sums = exchange_gradient_sums(norm, queue, whole(&record), whole(&record), &mut rank.exchange);
        [of_moments, pollster::block_on(sums)]
    });
    for (k, errors) in results.into_iter().enumerate() {
        for error in errors {
            match k {
                1 => assert!(matches!(error, Err(ExchangeError::Read(ReadError::Device(_)))), "{error:?}"),
                _ => assert_eq!(error, Err(ExchangeError::OtherRank)),
            }
        }
    }
}

#[test]
fn layers_of_other_features_are_told() {
    let results = on_ranks(2, |exchange| {
        let k = exchange.rank();
        let mut rank = Rank::new(exchange, 3 + k as u32, &state(3 + k as u32, 991));
        let record = rank.record(rank.norm.moments_bytes());
        let exchanged = exchange_moments(&rank.norm, &rank.gpu.queue, whole(&record), &mut rank.exchange);
        pollster::block_on(exchanged)
    });
    assert!(results.iter().all(|result| matches!(result, Err(ExchangeError::Length { given: 30, .. }))));
}
