//! A network with two batch norm layers learns to tell two spirals apart. It trains in batches of which the last is
//! smaller, trains on with frozen layers, is evaluated, saved and loaded. Run it with
//! `cargo run --release --example train`.
//!
//!     x ─► dense ─► batch norm ─► ReLU, dense ─► batch norm ─► ReLU, dense ─► logits

use std::error::Error;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::{gpu::whole, kernel};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{Backward, BatchNorm, BatchNormDescriptor, Context, Evaluation, Shape};
use wgpu_batchnorm::{State, Statistics, Training, read_states, wgpu};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;
type Record = Box<dyn Fn(&mut wgpu::ComputePass<'_>)>;

const WIDTHS: [usize; 4] = [2, 32, 32, 1];
const BATCH: usize = 64;
const RATE: f64 = 0.5;

fn main() -> Result<()> {
    let gpu = Gpu::new()?;
    let context = Context::new(&gpu.device);
    let (mut examples, test) = (spirals(1000, 1), spirals(500, 2));
    let network = Network::new(&gpu, &context, 3)?;
    let evaluation = network.prepare(test.len(), Mode::Evaluate)?;
    println!("{}", gpu.describe());

    // A step is prepared for its number of rows, so the smaller last batch has steps of its own.
    for (mode, epochs) in [(Mode::Train, 40), (Mode::Frozen, 5)] {
        let (full, last) = (network.prepare(BATCH, mode)?, network.prepare(examples.len() % BATCH, mode)?);
        let before = network.states()?;
        for epoch in 0..epochs {
            examples.shuffle(&mut StdRng::seed_from_u64(epoch));
            for batch in examples.chunks(BATCH) {
                if batch.len() == BATCH { &full } else { &last }.run(&gpu, batch)?;
            }
        }
        println!("{epochs} epochs of {mode:?}, accuracy {:.3}", evaluation.accuracy(&gpu, &test)?);
        assert_eq!(network.states()? == before, mode == Mode::Frozen, "only frozen layers stay as they are");
    }

    let file = std::env::temp_dir().join("wgpu-batchnorm-train.json");
    std::fs::write(&file, network.save()?.to_string())?;
    let loaded = Network::new(&gpu, &context, 4)?;
    loaded.load(&serde_json::from_slice(&std::fs::read(&file)?)?)?;
    let again = loaded.prepare(test.len(), Mode::Evaluate)?;
    println!("loaded from {}, accuracy {:.3}", file.display(), again.accuracy(&gpu, &test)?);
    let same = gpu.download(&again.logits)? == gpu.download(&evaluation.logits)?;
    assert!(same, "a loaded network computes the same bits");
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// Batch statistics normalize and move the running ones. All parameters learn.
    Train,
    /// Running statistics normalize, and the batch norm layers stay as they are. The dense layers learn.
    Frozen,
    /// Running statistics normalize. Nothing learns.
    Evaluate,
}

struct Network<'a> {
    gpu: &'a Gpu,
    module: wgpu::ShaderModule,
    /// Weights only: batch norm would subtract a bias with the mean, and it has a bias of its own.
    dense: Vec<wgpu::Buffer>,
    norms: Vec<BatchNorm>,
}

impl<'a> Network<'a> {
    fn new(gpu: &'a Gpu, context: &Context, seed: u64) -> Result<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut dense = Vec::new();
        for ends in WIDTHS.windows(2) {
            let limit = (3.0 / ends[0] as f32).sqrt();
            let values: Vec<f32> = (0..ends[0] * ends[1]).map(|_| rng.random_range(-limit..limit)).collect();
            dense.push(gpu.upload(&values));
        }
        let norm =
            |features| BatchNorm::new(context, &BatchNormDescriptor { features, ..Default::default() });
        let norms = vec![norm(WIDTHS[1] as u32)?, norm(WIDTHS[2] as u32)?];
        let module = kernel::module(&gpu.device, "train", include_str!("train.wgsl"));
        Ok(Self { gpu, module, dense, norms })
    }

    /// Prepares the work on so many rows, which is then run for each batch.
    fn prepare(&self, rows: usize, mode: Mode) -> Result<Work> {
        let gpu = self.gpu;
        let [tensors, gradients] = [0; 2].map(|_| WIDTHS.map(|width| gpu.empty(rows * width)));
        let labels = gpu.empty(rows);
        // The backward pass is collected from its last kernel to its first.
        let (mut forward, mut backward, mut update) = (Vec::new(), Vec::new(), Vec::new());
        for (i, weight) in self.dense.iter().enumerate() {
            let (x, y, dx, dy) = (&tensors[i], &tensors[i + 1], &gradients[i], &gradients[i + 1]);
            let dweight = gpu.empty(WIDTHS[i] * WIDTHS[i + 1]);
            backward.push(self.kernel("input_gradient", i, [(0, x), (1, weight), (2, dy), (3, dx)]));
            backward.push(self.kernel("weight_gradient", i, [(0, x), (2, dy), (3, &dweight)]));
            update.push(self.kernel("descend", i, [(2, &dweight), (3, weight)]));
            let Some(norm) = self.norms.get(i) else {
                forward.push(self.kernel("dense", i, [(0, x), (1, weight), (3, y)]));
                continue;
            };
            let linear = gpu.empty(rows * WIDTHS[i + 1]);
            forward.push(self.kernel("dense", i, [(0, x), (1, weight), (3, &linear)]));
            let shape = Shape::rows(rows as u32, norm.features());
            let training = Training::new(whole(&linear), whole(y));
            let step = match mode {
                Mode::Train => norm.prepare_training(shape, training),
                Mode::Frozen => norm
                    .prepare_training(shape, training.statistics(Statistics::Running).update_running(false)),
                Mode::Evaluate => norm.prepare_evaluation(shape, Evaluation::new(whole(&linear), whole(y))),
            }?;
            // In place: dy becomes the gradient with respect to what the dense layer wrote.
            let mut wanted = Backward::of(whole(dy)).input_gradient(whole(dy));
            // Weight and bias are one binding, and so are their gradients: one dispatch updates both.
            let gradient = gpu.empty(2 * norm.parameter_stride() as usize);
            if let (Mode::Train, Some(parameters)) = (mode, norm.parameters()) {
                wanted = wanted.parameter_gradients(whole(&gradient));
                update.push(self.kernel_on("descend", i, [(2, whole(&gradient)), (3, parameters)]));
            }
            let back = norm.prepare_backward(&step, wanted)?;
            forward.push(Box::new(move |pass| step.record(pass)));
            backward.push(Box::new(move |pass| back.record(pass)));
        }
        let [x, .., logits] = tensors;
        backward.push(self.kernel("loss_gradient", 2, [(0, &logits), (4, &labels), (3, &gradients[3])]));
        if mode != Mode::Evaluate {
            forward.extend(backward.into_iter().rev().chain(update));
        }
        Ok(Work { x, labels, logits, records: forward })
    }

    /// A kernel of train.wgsl for dense layer `i`, with an invocation for each value of the last buffer.
    fn kernel<const N: usize>(&self, entry: &str, i: usize, buffers: [(u32, &wgpu::Buffer); N]) -> Record {
        self.kernel_on(entry, i, buffers.map(|(binding, buffer)| (binding, whole(buffer))))
    }

    fn kernel_on<const N: usize>(
        &self,
        entry: &str,
        i: usize,
        buffers: [(u32, wgpu::BufferBinding<'_>); N],
    ) -> Record {
        let [inputs, outputs] = [i, i + 1].map(|end| WIDTHS[end] as f64);
        let relu = if i > 0 { 1.0 } else { 0.0 };
        let constants = [("INPUTS", inputs), ("OUTPUTS", outputs), ("RELU", relu), ("RATE", RATE)];
        let pipeline = kernel::pipeline(&self.gpu.device, &self.module, entry, &constants);
        let written = &buffers[N - 1].1;
        let bytes = written.size.map_or(written.buffer.size(), u64::from);
        let workgroups = [(bytes / 4).div_ceil(64) as u32, 1];
        let dispatch = kernel::Dispatch::new(&self.gpu.device, &pipeline, buffers, workgroups);
        Box::new(move |pass| dispatch.record(pass))
    }

    fn states(&self) -> Result<Vec<State>> {
        Ok(pollster::block_on(read_states(&self.gpu.queue, &self.norms.iter().collect::<Vec<_>>()))?)
    }

    fn save(&self) -> Result<Value> {
        let download = |weight| self.gpu.download(weight);
        let dense = self.dense.iter().map(download).collect::<Result<Vec<_>, _>>()?;
        let norm = |State { weight, bias, running_mean, running_var, num_batches_tracked }| {
            json!({ "weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var,
                "num_batches_tracked": num_batches_tracked })
        };
        Ok(json!({ "dense": dense, "norms": self.states()?.into_iter().map(norm).collect::<Vec<_>>() }))
    }

    fn load(&self, saved: &Value) -> Result<()> {
        for (i, weight) in self.dense.iter().enumerate() {
            let values = Vec::<f32>::deserialize(&saved["dense"][i])?;
            self.gpu.queue.write_buffer(weight, 0, bytemuck::cast_slice(&values));
        }
        for (i, norm) in self.norms.iter().enumerate() {
            let vector = |name| Vec::<f32>::deserialize(&saved["norms"][i][name]);
            let state = State {
                weight: vector("weight")?,
                bias: vector("bias")?,
                running_mean: vector("running_mean")?,
                running_var: vector("running_var")?,
                num_batches_tracked: u64::deserialize(&saved["norms"][i]["num_batches_tracked"])?,
            };
            norm.set_state(&self.gpu.queue, &state)?;
        }
        Ok(())
    }
}

/// The network's work on one batch, with the batch's buffers.
struct Work {
    x: wgpu::Buffer,
    labels: wgpu::Buffer,
    logits: wgpu::Buffer,
    records: Vec<Record>,
}

type Example = ([f32; 2], f32);

impl Work {
    fn run(&self, gpu: &Gpu, batch: &[Example]) -> Result<()> {
        let (points, labels): (Vec<[f32; 2]>, Vec<f32>) = batch.iter().copied().unzip();
        gpu.queue.write_buffer(&self.x, 0, bytemuck::cast_slice(&points));
        gpu.queue.write_buffer(&self.labels, 0, bytemuck::cast_slice(&labels));
        Ok(gpu.run(|pass| self.records.iter().for_each(|record| record(pass)))?)
    }

    fn accuracy(&self, gpu: &Gpu, batch: &[Example]) -> Result<f64> {
        self.run(gpu, batch)?;
        let logits = gpu.download(&self.logits)?;
        let right = logits.iter().zip(batch).filter(|(logit, (_, label))| (**logit > 0.0) == (*label > 0.5));
        Ok(right.count() as f64 / batch.len() as f64)
    }
}

/// Points of two spirals of a turn and a half, with noise, and which spiral each is of.
fn spirals(points: usize, seed: u64) -> Vec<Example> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut point = |i: usize| {
        let (label, radius) = ((i % 2) as f32, i as f32 / points as f32);
        let angle = std::f32::consts::PI * (3.0 * radius + label);
        let mut noise = || rng.random_range(-0.05..0.05);
        ([radius * angle.cos() + noise(), radius * angle.sin() + noise()], label)
    };
    (0..points).map(&mut point).collect()
}
