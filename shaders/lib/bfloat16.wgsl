//! import packet, halves
// The upper half of a float32. Encoding rounds to nearest, ties to even; a NaN stays one.

fn decode_bfloat16(pair: u32) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2<u32>(pair << 16u, pair & 0xffff0000u));
}

fn encode_bfloat16(values: Quad) -> Halves {
    let bits = bitcast<Halves>(values);
    let upper = bits >> Halves(16u);
    let rounded = (bits + Halves(0x7fffu) + (upper & Halves(1u))) >> Halves(16u);
    return select(rounded, upper | Halves(0x40u), (bits & Halves(0x7fffffffu)) > Halves(0x7f800000u));
}
