//! import packet, halves
// IEEE 754 binary16. Encoding is exact, by integers, since WGSL leaves to a device how pack2x16float and f16(x) round:
// to nearest, ties to even; subnormals too; infinite from 65520 on; a NaN stays one.

fn decode_float16(pair: u32) -> vec2<f32> {
    return unpack2x16float(pair);
}

fn encode_float16(values: Quad) -> QuadBits {
    let bits = bitcast<QuadBits>(values);
    let magnitude = bits & QuadBits(0x7fffffffu);
    // The exponent is biased by 15 instead of 127. Half a unit of what is cut off is added, less for even values a bit.
    let odd = (magnitude >> QuadBits(13u)) & QuadBits(1u);
    let normal = (magnitude - QuadBits(0x38000000u) + QuadBits(0xfffu) + odd) >> QuadBits(13u);
    // Below 2^-14, in units of 2^-24.
    let subnormal = QuadBits(round(bitcast<Quad>(magnitude) * 16777216.0));
    var halves = select(normal, subnormal, magnitude < QuadBits(0x38800000u));
    halves = select(halves, QuadBits(0x7c00u), magnitude >= QuadBits(0x47800000u));
    halves = select(halves, QuadBits(0x7e00u), magnitude > QuadBits(0x7f800000u));
    return halves | ((bits >> QuadBits(16u)) & QuadBits(0x8000u));
}
