//! The inputs of a sampled case: too large to store, so a formula makes them.

/// Output `i` (from 0) of the SplitMix64 generator started at `seed`.
fn splitmix64(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `len` values in [-1, 1): the top 24 bits of each output, so every value is an exact float32.
pub fn uniform(seed: u64, len: usize) -> Vec<f32> {
    let unit = 1.0 / (1 << 23) as f32;
    (0..len as u64).map(|i| (splitmix64(seed, i) >> 40) as f32 * unit - 1.0).collect()
}

/// The uniform stream, spread and shifted by feature: u · 2^(c mod 5 − 2) + (c mod 7 − 3) / 2.
///
/// The product is exact, so the single rounding gives the same bits with and without fused multiply-add.
pub fn input(seed: u64, len: usize, feature: impl Fn(usize) -> usize) -> Vec<f32> {
    let mut values = uniform(seed, len);
    for (i, value) in values.iter_mut().enumerate() {
        let c = feature(i);
        *value = *value * [0.25, 0.5, 1.0, 2.0, 4.0][c % 5] + ((c % 7) as f32 - 3.0) / 2.0;
    }
    values
}

/// Σ bits(a[i]) · (2 i + 1) mod 2⁶⁴: tells whether a formula was replayed exactly.
pub fn checksum(values: &[f32]) -> u64 {
    let terms = values.iter().zip(0u64..).map(|(v, i)| u64::from(v.to_bits()).wrapping_mul(2 * i + 1));
    terms.fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_sequence() {
        assert_eq!(splitmix64(1234567, 0), 6457827717110365317);
        assert_eq!(splitmix64(1234567, 1), 3203168211198807973);
    }

    #[test]
    fn values_fill_the_interval() {
        let values = uniform(7, 10_000);
        assert!(values.iter().all(|v| (-1.0..1.0).contains(v)));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.03, "{mean}");
    }

    #[test]
    fn checksum_sees_value_and_place() {
        assert_eq!(checksum(&[1.0, 2.0]), 0x3F80_0000 + 3 * 0x4000_0000);
        assert_ne!(checksum(&[1.0, 2.0]), checksum(&[2.0, 1.0]));
    }
}
