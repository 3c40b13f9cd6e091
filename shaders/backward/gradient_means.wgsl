//! import saved, sums
// The means over the batch that dx takes off.

fn means_of(sums: Sums, statistics: Saved) -> Sums {
    return Sums(sums.dy * statistics.share, sums.dy_xhat * statistics.share);
}
