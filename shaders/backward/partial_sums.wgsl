//! import sums, vectors
// Partial sums: those of one split, two vectors of the buffer.

fn save_partial_sums(split: u32, i: u32, sums: Sums) {
    partials[at(2u * split, i)] = sums.dy;
    partials[at(2u * split + 1u, i)] = sums.dy_xhat;
}

fn partial_sums_at(split: u32, i: u32) -> Sums {
    return Sums(partials[at(2u * split, i)], partials[at(2u * split + 1u, i)]);
}
