// Moments of the values read so far, and how they are merged (Chan, Golub & LeVeque 1979): never from E[x^2] - E[x]^2.
// The mean is a pair, a float32 near the values and the rest, so that it is exact beside values with a large mean.
// The squares are kept times params.unit^2, that is, about divided by the count, so that they cannot overflow
// where the variance fits. Merges happen in a fixed order: the same input gives the same bits.

alias Item = Moments;

struct Moments {
    count: f32,
    shift: Stat,  // mean = shift + mean
    mean: Stat,
    square: Stat, // unit^2 * sum of squared deviations from the mean
}

fn combine(a: Moments, b: Moments) -> Moments {
    if b.count == 0.0 {
        return a;
    }
    if a.count == 0.0 {
        return b;
    }
    let count = a.count + b.count;
    let share = b.count / count;
    let difference = (b.shift - a.shift) + (b.mean - a.mean);
    let scaled = difference * params.unit;
    return Moments(
        count,
        a.shift,
        a.mean + difference * share,
        (a.square + b.square) + stat_times(scaled, scaled) * (a.count * share),
    );
}
