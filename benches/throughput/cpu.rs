//! Batch normalization on the CPU as one would write it to be fast: float32, two passes for the statistics (mean, then
//! deviations), vectorized, parallel over features or rows with rayon. Not the reference, but held against it.
//!
//! A tensor is seen as *blocks* of features that are done independently, so that what the statistics read is still in
//! the core's cache when it is normalized: one feature of a channels-first tensor, or all features of a channels-last
//! one. A block has *tasks* of contiguous *runs*. The values of a run belong to columns that repeat: of the same
//! feature in a plane, of every feature in rows.

use rayon::prelude::*;
use testkit::bench::shapes::Case;

use crate::vector;

/// Values of a task: enough to be worth a thread's while, few enough to stay in its cache.
const TASK: usize = 1 << 15;
/// Columns in a plane, and about as many where rows are shorter: what vector registers hold.
const COLUMNS: usize = 32;
const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// What the layer keeps of a feature.
#[derive(Debug, Clone)]
pub struct Feature {
    pub weight: f32,
    pub bias: f32,
    pub running_mean: f32,
    pub running_var: f32,
    pub weight_gradient: f32,
    pub bias_gradient: f32,
    /// Of the last training forward, for backward.
    mean: f32,
    invstd: f32,
}

impl Default for Feature {
    fn default() -> Self {
        Self {
            weight: 1.0,
            bias: 0.0,
            running_mean: 0.0,
            running_var: 1.0,
            weight_gradient: 0.0,
            bias_gradient: 0.0,
            mean: 0.0,
            invstd: 1.0,
        }
    }
}

/// A tensor in runs: `[block][task][run]`.
pub type Runs<T> = Vec<Vec<Vec<T>>>;

/// How a tensor lies in memory.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    features: usize,
    /// Features of a block.
    together: usize,
    columns: usize,
    /// Values from one block's run to the next one's.
    stride: usize,
}

impl Layout {
    pub fn new(case: &Case) -> Self {
        let (features, plane) = (case.features(), case.plane());
        if plane > 1 && !case.last {
            return Self { features, together: 1, columns: COLUMNS, stride: plane };
        }
        // Short rows are taken several at a time.
        let rows = case.elements() / features;
        let mut columns = features;
        while columns < COLUMNS && (rows * features).is_multiple_of(2 * columns) {
            columns *= 2;
        }
        Self { features, together: features, columns, stride: columns * (TASK / columns).max(1) }
    }

    pub fn runs<'a>(&self, x: &'a [f32]) -> Runs<&'a [f32]> {
        let pieces = x.chunks(self.stride).map(|piece| piece.chunks(self.longest_run()));
        self.group(pieces)
    }

    pub fn runs_mut<'a>(&self, x: &'a mut [f32]) -> Runs<&'a mut [f32]> {
        let longest = self.longest_run();
        let pieces = x.chunks_mut(self.stride).map(|piece| piece.chunks_mut(longest));
        self.group(pieces)
    }

    fn longest_run(&self) -> usize {
        if self.together == 1 { TASK } else { self.stride }
    }

    fn group<T: AsRef<[f32]>>(&self, pieces: impl Iterator<Item = impl Iterator<Item = T>>) -> Runs<T> {
        let blocks = self.features / self.together;
        let mut runs: Runs<T> = (0..blocks).map(|_| Vec::new()).collect();
        let mut room = vec![0; blocks];
        for (piece, block) in pieces.zip((0..blocks).cycle()) {
            for run in piece {
                if room[block] == 0 {
                    runs[block].push(Vec::new());
                    room[block] = TASK;
                }
                room[block] = room[block].saturating_sub(run.as_ref().len());
                runs[block].last_mut().expect("just pushed").push(run);
            }
        }
        runs
    }

    /// A statistic of each feature of a block, for every column.
    fn spread(&self, block: &[Feature], statistic: impl Fn(&Feature) -> f32) -> Vec<f32> {
        block.iter().map(statistic).collect::<Vec<f32>>().repeat(self.columns / self.together)
    }

    /// The sums of the columns of each feature.
    fn fold(&self, columns: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.together];
        for part in columns.chunks(self.together) {
            sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        sums
    }

    /// Values of each feature in a task.
    fn count<T: AsRef<[f32]>>(&self, task: &[T]) -> f32 {
        task.iter().map(|run| run.as_ref().len()).sum::<usize>() as f32 / self.together as f32
    }

    fn moments(&self, task: &[&[f32]]) -> Moments {
        let count = self.count(task);
        let mut columns = vec![0.0; self.columns];
        task.iter().for_each(|run| vector::add(&mut columns, run));
        let mean: Vec<f32> = self.fold(&columns).iter().map(|sum| sum / count).collect();
        let means = mean.repeat(self.columns / self.together);
        columns.fill(0.0);
        task.iter().for_each(|run| vector::add_squares(&mut columns, run, &means));
        Moments { count, mean, square: self.fold(&columns) }
    }

    /// Σdy and Σdy(x - mean) of each feature.
    fn sums(&self, x: &[&[f32]], dy: &[&[f32]], mean: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut sum, mut product) = (vec![0.0; self.columns], vec![0.0; self.columns]);
        for (x, dy) in x.iter().zip(dy) {
            vector::add_gradients(&mut sum, &mut product, x, dy, mean);
        }
        (self.fold(&sum), self.fold(&product))
    }
}

/// Of each feature of a block: how many values, their mean, and the sum of their squared deviations.
struct Moments {
    count: f32,
    mean: Vec<f32>,
    square: Vec<f32>,
}

fn merge(mut a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / count;
    for (((mean, square), b_mean), b_square) in
        a.mean.iter_mut().zip(&mut a.square).zip(&b.mean).zip(&b.square)
    {
        let difference = b_mean - *mean;
        *square += b_square + difference * difference * a.count * share;
        *mean += difference * share;
    }
    Moments { count, ..a }
}

fn added(mut a: (Vec<f32>, Vec<f32>), b: (Vec<f32>, Vec<f32>)) -> (Vec<f32>, Vec<f32>) {
    vector::add(&mut a.0, &b.0);
    vector::add(&mut a.1, &b.1);
    a
}

/// A layer, and how its tensors lie.
pub struct Layer {
    pub layout: Layout,
    pub features: Vec<Feature>,
}

impl Layer {
    pub fn new(layout: Layout) -> Self {
        Self { layout, features: vec![Feature::default(); layout.features] }
    }

    /// Blocks that are worth a thread's while.
    fn blocks_together<T: AsRef<[f32]>>(&self, x: &Runs<T>) -> usize {
        let block: usize = x[0].iter().flatten().map(|run| run.as_ref().len()).sum();
        (TASK / 2).div_ceil(block.max(1))
    }

    /// y, with the batch's statistics; moves the running statistics.
    pub fn training_forward(&mut self, x: &Runs<&[f32]>, y: &mut Runs<&mut [f32]>) {
        let (layout, least) = (self.layout, self.blocks_together(x));
        let blocks = x.par_iter().zip(y).zip(self.features.par_chunks_mut(layout.together));
        blocks.with_min_len(least).for_each(|((x, y), features)| {
            let moments = x.par_iter().map(|task| layout.moments(task)).reduce_with(merge);
            let Moments { count, mean, square } = moments.expect("a tensor has values");
            for ((feature, mean), square) in features.iter_mut().zip(mean).zip(square) {
                feature.mean = mean;
                feature.invstd = 1.0 / (square / count + EPS).sqrt();
                feature.running_mean += MOMENTUM * (mean - feature.running_mean);
                feature.running_var += MOMENTUM * (square / (count - 1.0) - feature.running_var);
            }
            normalize(layout, x, y, features, |f| f.mean, |f| f.invstd);
        });
    }

    /// y, with the running statistics.
    pub fn evaluation(&self, x: &Runs<&[f32]>, y: &mut Runs<&mut [f32]>) {
        let (layout, least) = (self.layout, self.blocks_together(x));
        let blocks = x.par_iter().zip(y).zip(self.features.par_chunks(layout.together));
        blocks.with_min_len(least).for_each(|((x, y), features)| {
            normalize(layout, x, y, features, |f| f.running_mean, |f| 1.0 / (f.running_var + EPS).sqrt());
        });
    }

    /// dx and the gradients of weight and bias, after a training forward of the same x.
    pub fn backward(&mut self, x: &Runs<&[f32]>, dy: &Runs<&[f32]>, dx: &mut Runs<&mut [f32]>) {
        let (layout, least) = (self.layout, self.blocks_together(x));
        let blocks = x.par_iter().zip(dy).zip(dx).zip(self.features.par_chunks_mut(layout.together));
        blocks.with_min_len(least).for_each(|(((x, dy), dx), features)| {
            let mean = layout.spread(features, |f| f.mean);
            let tasks = x.par_iter().zip(dy);
            let sums = tasks.map(|(x, dy)| layout.sums(x, dy, &mean)).reduce_with(added);
            let (sum, product) = sums.expect("a tensor has values");
            for ((feature, sum), product) in features.iter_mut().zip(sum).zip(product) {
                feature.bias_gradient = sum;
                feature.weight_gradient = product * feature.invstd;
            }
            let count: f32 = x.iter().map(|task| layout.count(task)).sum();
            let dy_mean = layout.spread(features, |f| f.bias_gradient / count);
            let slope = layout.spread(features, |f| f.weight_gradient * f.invstd / count);
            let scale = layout.spread(features, |f| f.weight * f.invstd);
            x.par_iter().zip(dy).zip(dx).for_each(|((x, dy), dx)| {
                for ((x, dy), dx) in x.iter().zip(dy).zip(dx) {
                    vector::gradient(dx, x, dy, &mean, &dy_mean, &slope, &scale);
                }
            });
        });
    }
}

fn normalize(
    layout: Layout,
    x: &[Vec<&[f32]>],
    y: &mut [Vec<&mut [f32]>],
    features: &[Feature],
    mean: impl Fn(&Feature) -> f32,
    invstd: impl Fn(&Feature) -> f32,
) {
    let mean = layout.spread(features, mean);
    let scale = layout.spread(features, |f| f.weight * invstd(f));
    let offset = layout.spread(features, |f| f.bias);
    x.par_iter().zip(y).for_each(|(x, y)| {
        for (x, y) in x.iter().zip(y) {
            vector::normalize(y, x, &mean, &scale, &offset);
        }
    });
}
