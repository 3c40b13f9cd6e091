use super::{Record, indices};
use crate::forward::Statistics;
use crate::shape::Shape;

/// What the gradients of a feature are made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// Σdy, the gradient of the bias.
    pub dy: f64,
    /// Σdy·x̂, the gradient of the weight.
    pub dy_xhat: f64,
}

fn xhat(x: f32, record: &Record) -> f64 {
    (f64::from(x) - record.mean) * record.invstd
}

/// Twin of shaders/backward_reduce.wgsl: the sums of each feature.
pub fn backward_reduce(x: &[f32], dy: &[f32], shape: Shape, record: &[Record]) -> Vec<Sums> {
    record
        .iter()
        .enumerate()
        .map(|(c, r)| {
            indices(shape, c).fold(Sums::default(), |sums, i| Sums {
                dy: sums.dy + f64::from(dy[i]),
                dy_xhat: sums.dy_xhat + f64::from(dy[i]) * xhat(x[i], r),
            })
        })
        .collect()
}

/// Twin of shaders/backward_finalize.wgsl: adds the sums to the gradients of weight and bias, or overwrites these.
pub fn backward_finalize(
    sums: &[Sums],
    weight_gradient: &mut [f64],
    bias_gradient: &mut [f64],
    accumulate: bool,
) {
    for (c, s) in sums.iter().enumerate() {
        let keep = if accumulate { 1.0 } else { 0.0 };
        weight_gradient[c] = keep * weight_gradient[c] + s.dy_xhat;
        bias_gradient[c] = keep * bias_gradient[c] + s.dy;
    }
}

/// The means of dy and dy·x̂ that dx takes off: those of the batch where its statistics normalized, or else none.
pub fn input_gradient_means(sums: &[Sums], shape: Shape, statistics: Statistics) -> Vec<Sums> {
    let share = match statistics {
        Statistics::Batch => 1.0 / shape.count() as f64,
        Statistics::Running => 0.0,
    };
    sums.iter().map(|s| Sums { dy: s.dy * share, dy_xhat: s.dy_xhat * share }).collect()
}

/// Twin of shaders/backward_apply.wgsl: dx (Ioffe & Szegedy 2015, section 3).
pub fn backward_apply(x: &[f32], dy: &[f32], shape: Shape, record: &[Record], means: &[Sums]) -> Vec<f64> {
    let mut dx = vec![0.0; x.len()];
    for (c, r) in record.iter().enumerate() {
        for i in indices(shape, c) {
            dx[i] = (f64::from(dy[i]) - means[c].dy - xhat(x[i], r) * means[c].dy_xhat) * r.weight * r.invstd;
        }
    }
    dx
}

/// Twin of shaders/backward_frozen.wgsl: dx where running statistics normalized.
pub fn backward_frozen(dy: &[f32], shape: Shape, record: &[Record]) -> Vec<f64> {
    let mut dx = vec![0.0; dy.len()];
    for (c, r) in record.iter().enumerate() {
        for i in indices(shape, c) {
            dx[i] = f64::from(dy[i]) * r.weight * r.invstd;
        }
    }
    dx
}

/// Twin of shaders/backward_resident.wgsl and of shaders/backward_held.wgsl: dx, and the sums that are the gradients of
/// weight and bias.
pub fn backward_resident(
    x: &[f32],
    dy: &[f32],
    shape: Shape,
    record: &[Record],
    statistics: Statistics,
) -> (Vec<f64>, Vec<Sums>) {
    let sums = backward_reduce(x, dy, shape, record);
    let means = input_gradient_means(&sums, shape, statistics);
    (backward_apply(x, dy, shape, record, &means), sums)
}
