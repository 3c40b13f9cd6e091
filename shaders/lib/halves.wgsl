// Values of 16 bits, two to a word: the first of a pair stands in the lower half.

fn pack_halves(halves: vec4<u32>) -> vec2<u32> {
    return halves.xz | (halves.yw << vec2<u32>(16u));
}
