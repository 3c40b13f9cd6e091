//! Numbers of an ask.

use rand::{RngExt, rngs::StdRng};
use wgpu_batchnorm::{Activation, Path, Shape, View};

use super::{Ask, Batch, Mode};

/// Numbers by which no shader differs, but for the workgroups that merge splits.
#[derive(Debug, Clone)]
pub struct Numbers {
    pub batch: u32,
    pub slots: u32,
    pub packets: u32,
    pub virtual_batch: u32,
    pub splits: u32,
    pub offset: u32,
    pub flag: u32,
    pub slope: f32,
    pub seed: u64,
}

impl Numbers {
    /// Small ones, and a large batch now and then.
    pub fn random(rng: &mut StdRng) -> Self {
        let most = if rng.random_range(0..16) == 0 { 400 } else { 24 };
        let flag = [0, 1, rng.random()][rng.random_range(0..3)];
        Self {
            batch: rng.random_range(1..most),
            slots: rng.random_range(1..20),
            packets: rng.random_range(1..12),
            virtual_batch: rng.random_range(1..8),
            splits: rng.random_range(1..6),
            offset: 256 * rng.random_range(1..4),
            flag,
            slope: [0.01, 0.5, 2.0][rng.random_range(0..3)],
            seed: rng.random::<u32>().into(),
        }
    }

    /// The choices of an ask with these numbers; nothing where there would be one value per feature, or too many to be held.
    pub fn of(self, ask: Ask) -> Option<Ask> {
        let Numbers { batch, slots, packets, virtual_batch, splits, offset, flag, slope, seed } = self;
        let (view, packet) = (ask.plan.view?, ask.plan.packet?);
        // Ranges end aligned after 128 examples.
        let batch = if ask.batch == Batch::Ranges { 128 + batch } else { batch };
        let (shape, values) = match view {
            View::Rows => (Shape::rows(batch, slots * packet), batch),
            _ => (Shape::channels_first(batch, slots, &[packets * packet]), batch * packets),
        };
        let path = ask.plan.path?;
        // Four invocations hold four packets each.
        let held = path != Path::Persistent || values <= 16;
        // Each batch moves the running statistics by a rounding more.
        let virtual_batch = virtual_batch.max(batch.div_ceil(4));
        let virtual_batches = matches!(ask.batch, Batch::Virtual(_));
        let last = if virtual_batches { batch % virtual_batch } else { 0 };
        let smallest = if last > 0 {
            last
        } else if virtual_batches {
            virtual_batch.min(batch)
        } else {
            batch
        };
        let one =
            smallest == 1 && shape.positions() == 1 && ask.mask.is_none() && ask.mode != Mode::Evaluation;
        let mut plan = ask.plan;
        plan.splits = plan.splits.map(|_| splits);
        let activation = match ask.activation {
            Activation::LeakyRelu { .. } => Activation::LeakyRelu { slope },
            activation => activation,
        };
        let batch = if virtual_batches { Batch::Virtual(virtual_batch) } else { ask.batch };
        let flag = ask.flag.map(|_| flag);
        (held && !one).then_some(Ask { shape, activation, batch, flag, offset, seed, plan, ..ask })
    }
}
