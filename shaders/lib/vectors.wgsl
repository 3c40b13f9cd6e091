//! import params
// Buffers of several vectors of C values, params.stride Stats apart.

fn at(vector: u32, i: u32) -> u32 {
    return vector * params.stride + i;
}
