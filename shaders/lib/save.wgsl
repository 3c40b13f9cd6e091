//! import params, saved
// Saves the statistics of a feature.

// In a loop that no compiler unrolls: a software adapter's takes long for each place that writes.
fn save(i: u32, statistics: Saved) {
    for (var v = 0u; v < 6u + params.zero; v++) {
        var vector = statistics.mean;
        if v == 1u {
            vector = statistics.rest;
        }
        if v == 2u {
            vector = statistics.invstd;
        }
        if v == 3u {
            vector = statistics.weight;
        }
        if v == 4u {
            vector = statistics.share;
        }
        if v == 5u {
            vector = statistics.bias;
        }
        saved[at(v, i)] = vector;
    }
}
