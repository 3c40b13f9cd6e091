//! import packet, halves
// The upper half of a float32. Encoding rounds to nearest, ties to even; a NaN stays one.

fn decode_bfloat16(pair: u32) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2<u32>(pair << 16u, pair & 0xffff0000u));
}

fn encode_bfloat16(values: Quad) -> QuadBits {
    let bits = bitcast<QuadBits>(values);
    let upper = bits >> QuadBits(16u);
    let rounded = (bits + QuadBits(0x7fffu) + (upper & QuadBits(1u))) >> QuadBits(16u);
    return select(rounded, upper | QuadBits(0x40u), (bits & QuadBits(0x7fffffffu)) > QuadBits(0x7f800000u));
}
