//! What is done with a network on so many rows, prepared once and run for each batch.

use testkit::gpu::whole;
use wgpu_batchnorm::exchange::{Exchange, exchange_gradient_sums, exchange_moments};
use wgpu_batchnorm::{
    Backward, BatchNorm, Evaluation, Finalize, FinalizeGradients, Moments, Shape, Training, wgpu,
};

use crate::Result;
use crate::data::Images;
use crate::network::{Network, Record, WIDTHS, gradient_of, gradients_len};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Logits, with running statistics.
    Evaluate,
    /// A training step on a whole batch.
    Train,
    /// A training step on a shard of a batch of so many rows, by steps in parts.
    TrainShard { batch: usize },
}

/// Something to be done on the device, or with the other ranks.
enum Action {
    Record(Record),
    /// Replaces the moments of a layer's shard by those of the batch.
    Moments(usize, wgpu::Buffer),
    /// Adds up a layer's gradient sums: those of the shard, and of the batch.
    Sums(usize, [wgpu::Buffer; 2]),
    /// Adds up the gradients of dense layers: those of the shard, and of the batch.
    Gradients([wgpu::Buffer; 2]),
}

pub struct Work {
    rows: usize,
    x: wgpu::Buffer,
    labels: wgpu::Buffer,
    logits: wgpu::Buffer,
    actions: Vec<Action>,
}

impl Work {
    pub fn new(network: &Network, rows: usize, mode: Mode) -> Result<Self> {
        // An empty shard has buffers, too.
        let empty = |len: usize| network.gpu.empty(len.max(1));
        let [tensors, gradients] = [0; 2].map(|_| WIDTHS.map(|width| empty(rows * width)));
        let labels = empty(rows);
        let of_shard = empty(gradients_len());
        let of_batch = if mode == Mode::Train { of_shard.clone() } else { empty(gradients_len()) };
        let gradients_of_norms: Vec<_> =
            network.norms.iter().map(|norm| empty(2 * norm.parameter_stride() as usize)).collect();

        let batch = if let Mode::TrainShard { batch } = mode { batch } else { rows };
        let kernel = |entry, i, bindings: &[(u32, wgpu::BufferBinding<'_>)]| {
            (rows > 0).then(|| Action::Record(network.kernel(entry, i, batch, bindings)))
        };
        let (mut forward, mut backward) = (vec![], vec![]);
        for (i, weight) in network.dense.iter().enumerate() {
            let (x, y, dx, dy) = (&tensors[i], &tensors[i + 1], &gradients[i], &gradients[i + 1]);
            // The backward pass is collected from its last action to its first.
            if i > 0 {
                let bindings = [(0, whole(x)), (1, whole(weight)), (2, whole(dy)), (3, whole(dx))];
                backward.extend(kernel("input_gradient", i, &bindings));
            }
            let bindings = [(0, whole(x)), (2, whole(dy)), (3, gradient_of(&of_shard, i))];
            backward.extend(kernel("weight_gradient", i, &bindings));
            let Some(norm) = network.norms.get(i) else {
                forward.extend(kernel("dense", i, &[(0, whole(x)), (1, whole(weight)), (3, whole(y))]));
                backward.extend(kernel(
                    "softmax_gradient",
                    i,
                    &[(0, whole(y)), (4, whole(&labels)), (3, whole(dy))],
                ));
                continue;
            };
            let linear = empty(rows * WIDTHS[i + 1]);
            forward.extend(kernel("dense", i, &[(0, whole(x)), (1, whole(weight)), (3, whole(&linear))]));
            let layer = Layer { norm, i, rows, linear, y, dy, gradient: &gradients_of_norms[i] };
            let [ahead, back] = match mode {
                Mode::Evaluate => [layer.evaluation()?, vec![]],
                Mode::Train => layer.training()?,
                Mode::TrainShard { .. } => layer.training_of_a_shard(network)?,
            };
            forward.extend(ahead);
            backward.extend(back.into_iter().rev());
        }
        if mode != Mode::Evaluate {
            forward.extend(backward.into_iter().rev());
            if mode != Mode::Train {
                forward.push(Action::Gradients([of_shard, of_batch.clone()]));
            }
            forward.extend(network.descend(&of_batch, &gradients_of_norms).into_iter().map(Action::Record));
        }
        let [x, .., logits] = tensors;
        Ok(Self { rows, x, labels, logits, actions: forward })
    }

    /// Works on these images, as many as the work was prepared for.
    pub fn run<E>(&self, network: &Network, images: &Images, exchange: &mut E) -> Result<()>
    where
        E: Exchange<Error: std::error::Error + 'static>,
    {
        assert_eq!(images.labels.len(), self.rows);
        let queue = &network.gpu.queue;
        queue.write_buffer(&self.x, 0, bytemuck::cast_slice(&images.pixels));
        queue.write_buffer(&self.labels, 0, bytemuck::cast_slice(&images.labels));
        let is_record = |action: &Action| matches!(action, Action::Record(_));
        for actions in self.actions.chunk_by(|a, b| is_record(a) && is_record(b)) {
            match &actions[0] {
                Action::Record(_) => network.submit(actions.iter().filter_map(|action| match action {
                    Action::Record(record) => Some(record),
                    _ => None,
                })),
                Action::Moments(i, record) => {
                    let exchanged = exchange_moments(&network.norms[*i], queue, whole(record), exchange);
                    pollster::block_on(exchanged)?;
                }
                Action::Sums(i, [shard, all]) => {
                    let norm = &network.norms[*i];
                    let exchanged = exchange_gradient_sums(norm, queue, whole(shard), whole(all), exchange);
                    pollster::block_on(exchanged)?;
                }
                Action::Gradients([shard, all]) => {
                    let gradients = network.gpu.download(shard)?;
                    let mut sums: Vec<f64> = gradients.into_iter().map(f64::from).collect();
                    exchange.all_reduce(&mut sums)?;
                    let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
                    queue.write_buffer(all, 0, bytemuck::cast_slice(&sums));
                }
            }
        }
        Ok(())
    }

    /// Of the rows that were worked on last, how many have their largest logit at their label.
    pub fn accuracy(&self, network: &Network, images: &Images) -> Result<f64> {
        let logits = network.gpu.download(&self.logits)?;
        let classes = WIDTHS[3];
        let best = |row: &[f32]| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or_default();
        let right =
            logits.chunks(classes).zip(&images.labels).filter(|(row, label)| best(row) as f32 == **label);
        Ok(right.count() as f64 / images.labels.len() as f64)
    }
}

/// A batch norm layer between its tensors.
struct Layer<'a> {
    norm: &'a BatchNorm,
    i: usize,
    rows: usize,
    linear: wgpu::Buffer,
    y: &'a wgpu::Buffer,
    /// In the place of which the gradient of `linear` is written.
    dy: &'a wgpu::Buffer,
    gradient: &'a wgpu::Buffer,
}

impl Layer<'_> {
    fn shape(&self) -> Shape {
        Shape::rows(self.rows as u32, self.norm.features())
    }

    fn evaluation(&self) -> Result<Vec<Action>> {
        let evaluation = Evaluation::new(whole(&self.linear), whole(self.y));
        let step = self.norm.prepare_evaluation(self.shape(), evaluation)?;
        Ok(vec![record(move |pass| step.record(pass))])
    }

    fn input_gradient(&self) -> Backward<'_> {
        Backward::of(whole(self.dy)).input_gradient(whole(self.dy))
    }

    /// Forward and backward.
    fn training(&self) -> Result<[Vec<Action>; 2]> {
        let training = Training::new(whole(&self.linear), whole(self.y));
        let step = self.norm.prepare_training(self.shape(), training)?;
        let wanted = self.input_gradient().parameter_gradients(whole(self.gradient));
        let back = self.norm.prepare_backward(&step, wanted)?;
        Ok([vec![record(move |pass| step.record(pass))], vec![record(move |pass| back.record(pass))]])
    }

    fn training_of_a_shard(&self, network: &Network) -> Result<[Vec<Action>; 2]> {
        let Self { norm, i, .. } = *self;
        let buffer = |bytes: u64| network.gpu.empty(bytes as usize / 4);
        let of_moments = buffer(norm.moments_bytes());
        let of_sums = [0; 2].map(|_| buffer(norm.gradient_sums_bytes()));
        let (x, y) = (whole(&self.linear), whole(self.y));

        let moments = norm.prepare_moments(self.shape(), Moments::new(x.clone(), whole(&of_moments)))?;
        let finalize = norm.prepare_finalize(Finalize::new(whole(&of_moments), 1))?;
        let apply = norm.prepare_apply(&finalize, self.shape(), Evaluation::new(x, y))?;
        let sums = norm.prepare_gradient_sums(&apply, Backward::of(whole(self.dy)), whole(&of_sums[0]))?;
        let gradients =
            FinalizeGradients::new(whole(&of_sums[1]), 1).parameter_gradients(whole(self.gradient));
        let gradients = norm.prepare_finalize_gradients(&finalize, gradients)?;
        let input_gradient = norm.prepare_input_gradient(&apply, &gradients, self.input_gradient())?;
        Ok([
            vec![
                record(move |pass| moments.record(pass)),
                Action::Moments(i, of_moments),
                record(move |pass| finalize.record(pass)),
                record(move |pass| apply.record(pass)),
            ],
            vec![
                record(move |pass| sums.record(pass)),
                Action::Sums(i, of_sums),
                record(move |pass| gradients.record(pass)),
                record(move |pass| input_gradient.record(pass)),
            ],
        ])
    }
}

fn record(record: impl Fn(&mut wgpu::ComputePass<'_>) + 'static) -> Action {
    Action::Record(Box::new(record))
}
