//! import packet
// Moments: what can be merged of the statistics of some values. The mean is a pair, the nearest float32 and the rest, so
// that it is exact beside values with a large mean. Deviations are scaled by UNIT before they are squared: a few values may
// have a much larger variance than all of them, whose variance just fits float32.

const UNIT = 0.015625; // 2^-6: a variance of 1e-30 still is far from denormals

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
