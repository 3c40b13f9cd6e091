//! What running statistics should come to: the statistics of all training images, and what an exponential average makes of
//! them.

use super::{MOMENTUM, PIXELS};

/// What is true of all training images together, for each pixel.
pub struct Population {
    size: f64,
    pub mean: Vec<f64>,
    /// Unbiased, as running_var.
    pub var: Vec<f64>,
    /// The variance of (x − mean)².
    var_of_square: Vec<f64>,
}

impl Population {
    pub fn of(images: &[f32]) -> Self {
        let size = (images.len() / PIXELS) as f64;
        let average = |of: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            let mut sums = vec![0.0; PIXELS];
            for (i, &x) in images.iter().enumerate() {
                sums[i % PIXELS] += of(i % PIXELS, x.into());
            }
            sums.iter().map(|sum| sum / size).collect()
        };
        let mean = average(&|_, x| x);
        let square = average(&|c, x| (x - mean[c]).powi(2));
        let var_of_square = average(&|c, x| ((x - mean[c]).powi(2) - square[c]).powi(2));
        let var = square.iter().map(|square| square * size / (size - 1.0)).collect();
        Self { size, mean, var, var_of_square }
    }

    /// The share of the initial values in the running statistics after these batches, and the expected root mean
    /// square of the deviations of running_mean and running_var.
    pub fn expected(&self, batches: &[usize]) -> (f64, f64, f64) {
        let momentum = f64::from(MOMENTUM);
        let start = (1.0 - momentum).powi(batches.len() as i32);
        // The batches of an epoch are parts of one whole: their noise would cancel if they weighed the same.
        let whole = (1.0 - start).powi(2) / self.size;
        let (mut noise, mut of_estimate) = (-whole, 0.0);
        for (age, &batch) in batches.iter().rev().enumerate() {
            let weight = momentum * (1.0 - momentum).powi(age as i32);
            let batch = batch as f64;
            noise += weight * weight / batch;
            of_estimate += weight * weight * 2.0 / (batch * (batch - 1.0));
        }
        let (mut mean, mut var) = (0.0, 0.0);
        for c in 0..PIXELS {
            let square = self.var[c].powi(2);
            mean += (start * self.mean[c]).powi(2) + noise * self.var[c];
            var +=
                (start * (1.0 - self.var[c])).powi(2) + noise * self.var_of_square[c] + of_estimate * square;
        }
        (start, (mean / PIXELS as f64).sqrt(), (var / PIXELS as f64).sqrt())
    }
}

/// Root mean square and largest deviation from the data's statistics.
pub struct Deviation {
    pub typical: f64,
    pub worst: f64,
}

impl Deviation {
    pub fn new(learned: &[f32], data: &[f64]) -> Self {
        let squares = || learned.iter().zip(data).map(|(&learned, data)| (f64::from(learned) - data).powi(2));
        let typical = (squares().sum::<f64>() / data.len() as f64).sqrt();
        Self { typical, worst: squares().fold(0.0, f64::max).sqrt() }
    }
}
