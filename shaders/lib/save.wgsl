//! import saved
// Saves the statistics of a feature.

fn save(i: u32, statistics: Saved) {
    saved[at(0u, i)] = statistics.mean;
    saved[at(1u, i)] = statistics.rest;
    saved[at(2u, i)] = statistics.invstd;
    saved[at(3u, i)] = statistics.weight;
    saved[at(4u, i)] = statistics.share;
    saved[at(5u, i)] = statistics.bias;
}
