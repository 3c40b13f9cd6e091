//! import moments, vectors
// Partial moments: those of one split, four vectors of the buffer.

fn save_partial_moments(split: u32, i: u32, moments: Moments) {
    partials[at(4u * split, i)] = Stat(moments.count);
    partials[at(4u * split + 1u, i)] = moments.mean;
    partials[at(4u * split + 2u, i)] = moments.rest;
    partials[at(4u * split + 3u, i)] = moments.variance;
}

fn partial_moments_at(split: u32, i: u32) -> Moments {
    return Moments(
        any_of(partials[at(4u * split, i)]),
        partials[at(4u * split + 1u, i)],
        partials[at(4u * split + 2u, i)],
        partials[at(4u * split + 3u, i)],
    );
}
