//! The inner loops on the CPU. The values of a run belong to columns that repeat: `columns` slices are as long as there
//! are columns, and the last row of a run may be shorter. Each is compiled for AVX2 too, chosen when it runs.

use multiversion::multiversion;

/// sum += x
#[multiversion(targets("x86_64+avx2"))]
pub fn add(sum: &mut [f32], x: &[f32]) {
    let mut fours = x.chunks_exact(4 * sum.len());
    for four in &mut fours {
        let [a, b, c, d] = quarters(four);
        for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum += (a + b) + (c + d);
        }
    }
    for row in fours.remainder().chunks(sum.len()) {
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

/// sum += (x - mean)²
#[multiversion(targets("x86_64+avx2"))]
pub fn add_squares(sum: &mut [f32], x: &[f32], mean: &[f32]) {
    let square = |x: &f32, mean: &f32| (x - mean) * (x - mean);
    let mut fours = x.chunks_exact(4 * sum.len());
    for four in &mut fours {
        let [a, b, c, d] = quarters(four);
        for (((((sum, mean), a), b), c), d) in sum.iter_mut().zip(mean).zip(a).zip(b).zip(c).zip(d) {
            *sum += (square(a, mean) + square(b, mean)) + (square(c, mean) + square(d, mean));
        }
    }
    for row in fours.remainder().chunks(sum.len()) {
        for ((sum, mean), x) in sum.iter_mut().zip(mean).zip(row) {
            *sum += square(x, mean);
        }
    }
}

/// sum += dy, product += dy (x - mean)
#[multiversion(targets("x86_64+avx2"))]
pub fn add_gradients(sum: &mut [f32], product: &mut [f32], x: &[f32], dy: &[f32], mean: &[f32]) {
    let width = sum.len();
    for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
        for ((((sum, product), mean), x), dy) in sum.iter_mut().zip(&mut *product).zip(mean).zip(x).zip(dy) {
            *sum += dy;
            *product += dy * (x - mean);
        }
    }
}

/// y = (x - mean) scale + offset
#[multiversion(targets("x86_64+avx2"))]
pub fn normalize(y: &mut [f32], x: &[f32], mean: &[f32], scale: &[f32], offset: &[f32]) {
    let width = mean.len();
    for (y, x) in y.chunks_mut(width).zip(x.chunks(width)) {
        for ((((y, x), mean), scale), offset) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(offset) {
            *y = (x - mean) * scale + offset;
        }
    }
}

/// dx = (dy - dy_mean - (x - mean) slope) scale
#[multiversion(targets("x86_64+avx2"))]
pub fn gradient(
    dx: &mut [f32],
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    dy_mean: &[f32],
    slope: &[f32],
    scale: &[f32],
) {
    let width = mean.len();
    for ((dx, x), dy) in dx.chunks_mut(width).zip(x.chunks(width)).zip(dy.chunks(width)) {
        let columns = mean.iter().zip(dy_mean).zip(slope).zip(scale);
        for (((dx, x), dy), (((mean, dy_mean), slope), scale)) in dx.iter_mut().zip(x).zip(dy).zip(columns) {
            *dx = (dy - dy_mean - (x - mean) * slope) * scale;
        }
    }
}

#[inline(always)]
fn quarters(x: &[f32]) -> [&[f32]; 4] {
    let (first, second) = x.split_at(x.len() / 2);
    let ((a, b), (c, d)) = (first.split_at(first.len() / 2), second.split_at(second.len() / 2));
    [a, b, c, d]
}
