// Buffers of several vectors of C values, params.stride Stats apart: where they begin.

// The layer's state.
const WEIGHT = 0u;
const BIAS = 1u;
const RUNNING_MEAN = 2u;
const RUNNING_VAR = 3u;

// The per-feature record: what normalization, and later its gradient, need to know of a feature.
const MEAN = 0u;   // a float32 near the values, and ...
const REST = 1u;   // ... what is missing to the mean
const INVSTD = 2u; // 1 / sqrt(variance + eps)
const GAMMA = 3u;  // the weight at the time of the step

struct Record {
    mean: Stat,
    rest: Stat,
    invstd: Stat,
    gamma: Stat,
}

fn at(vector: u32, place: u32) -> u32 {
    return vector * params.stride + place;
}

fn inverse_std(variance: Stat) -> Stat {
    return stat_inverse_root(variance + stat_splat(params.eps));
}
