//! import vectors
// Saved statistics: what normalization, and later its backward, need to know of a feature, as vectors of a buffer.

struct Saved {
    mean: Stat,   // a float32 near the values, and ...
    rest: Stat,   // ... what is missing to the mean
    invstd: Stat, // 1 / sqrt(variance + eps)
    weight: Stat, // as it was at the time of the step
    share: Stat,  // 1 / count: what a value has in the means of the batch
    bias: Stat,   // as it was at the time of the step
}

fn saved_at(i: u32) -> Saved {
    return Saved(
        saved[at(0u, i)],
        saved[at(1u, i)],
        saved[at(2u, i)],
        saved[at(3u, i)],
        saved[at(4u, i)],
        saved[at(5u, i)],
    );
}
