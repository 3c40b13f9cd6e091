//! import packet
// Moments: what can be merged of the statistics of some values. The mean is a pair, the nearest float32 and the rest, so
// that it is exact beside values with a large mean. The variance is scaled by UNIT^2, since a few values may have a much
// larger one than all of them, whose variance just fits float32; and not by less, since what a merge adds to a variance of
// 1e-30 would be denormal, and flushed to zero.

const UNIT = 0.25;
// Scales deviations whose squares are added up: those of 4096 values add up to no more than their variance.
const SUM_UNIT = 0.015625;

struct Moments {
    count: f32,
    mean: Stat,
    rest: Stat,
    variance: Stat, // biased, times UNIT^2
}

// The pair of near + rest whose first part is the nearest float32 to it.
fn with_mean(count: f32, near: Stat, rest: Stat, variance: Stat) -> Moments {
    let mean = opaque(near + rest);
    return Moments(count, mean, (near - mean) + rest, variance);
}

// From the sums of `count` deviations from a shift, and of their squares, both of deviations times SUM_UNIT. Without any,
// the mean is the shift.
fn moments_of(count: f32, shift: Stat, sum: Stat, squares: Stat) -> Moments {
    // A step of Newton: a device's division may be off by 2.5 ULP, which would be the variance's error.
    let near = 1.0 / max(count, 1.0);
    let each = near + near * (1.0 - count * near);
    let rescale = UNIT / SUM_UNIT;
    let mean = sum * (each * rescale);
    let variance = squares * (each * rescale * rescale) - mean * mean;
    return with_mean(count, shift, mean * (1.0 / UNIT), variance);
}

// The moments of the union (Chan, Golub & LeVeque 1979), with a mean of variances in place of sums of squares.
fn merge_moments(a: Moments, b: Moments) -> Moments {
    if b.count == 0.0 {
        return a;
    }
    if a.count == 0.0 {
        return b;
    }
    let count = a.count + b.count;
    let share = b.count / count;
    let difference = (b.mean - a.mean) + (b.rest - a.rest);
    let scaled = difference * UNIT;
    let between = (scaled * share) * (scaled * (1.0 - share));
    let variance = a.variance + (b.variance - a.variance) * share + between;
    return with_mean(count, a.mean, a.rest + difference * share, variance);
}
