//! import params
// What keeps running statistics from moving.

// 1 where the exponent says that one of two statistics is infinite or not a number, else 0. Compilers may assume that
// there is no such value, so that no comparison of the values themselves would do.
fn non_finite(a: Stat, b: Stat) -> Bits {
    let exponent = Bits(0x7f800000u);
    let smaller = min(~bitcast<Bits>(a) & exponent, ~bitcast<Bits>(b) & exponent);
    return select(Bits(0u), Bits(1u), smaller == Bits(0u));
}

// Counts the features that are skipped, whose bits are 1. A count stays at its largest value.
fn count_skipped(i: u32, skips: Bits) {
    let before = skipped_at(i);
    set_skipped(i, before + min(skips, ~before));
}
