//! import packet
// Which values are above 0, by their bits, since compilers may assume that there is no NaN: a NaN is not above 0, and not
// below it.

fn above_zero(v: Quad) -> QuadBools {
    return (bitcast<QuadBits>(v) - 1u) < QuadBits(0x7f800000u);
}

// Below 0, or -0.
fn below_zero(v: Quad) -> QuadBools {
    return (bitcast<QuadBits>(v) - 0x80000000u) <= QuadBits(0x7f800000u);
}
