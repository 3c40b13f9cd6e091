//! Tensors in a storage type, on the host; and how far a stored result is from the truth.

use half::{bf16, f16};
use wgpu_batchnorm::StorageType;

/// The bytes of float32 values, each rounded to nearest, ties to even: beyond the type's range to an infinity. A NaN stays
/// one.
pub fn encode(values: &[f32], storage: StorageType) -> Vec<u8> {
    let values = values.iter();
    match storage {
        StorageType::Float32 => values.flat_map(|v| v.to_le_bytes()).collect(),
        StorageType::Float16 => values.flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        StorageType::BFloat16 => values.flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        other => panic!("{other}: required a storage type that the host encodes"),
    }
}

/// The values of bytes, widened to float32, which is exact.
pub fn decode(bytes: &[u8], storage: StorageType) -> Vec<f32> {
    let halves = bytes.chunks_exact(2).map(|half| [half[0], half[1]]);
    match storage {
        StorageType::Float32 => bytes
            .chunks_exact(4)
            .filter_map(|word| word.first_chunk())
            .map(|&w| f32::from_le_bytes(w))
            .collect(),
        StorageType::Float16 => halves.map(|half| f16::from_le_bytes(half).to_f32()).collect(),
        StorageType::BFloat16 => halves.map(|half| bf16::from_le_bytes(half).to_f32()).collect(),
        other => panic!("{other}: required a storage type that the host decodes"),
    }
}

/// The values as they come back from memory.
pub fn rounded(values: &[f32], storage: StorageType) -> Vec<f32> {
    decode(&encode(values, storage), storage)
}

/// The largest finite value of a type, the binary exponent of its smallest normal one, and the bits of its mantissa.
fn format(storage: StorageType) -> (f64, i32, i32) {
    match storage {
        StorageType::Float16 => (f16::MAX.to_f64(), -14, 10),
        StorageType::BFloat16 => (bf16::MAX.to_f64(), -126, 7),
        _ => (f32::MAX.into(), -126, 23),
    }
}

/// Half a unit in the last place of a value, were it stored.
fn half_ulp(value: f64, storage: StorageType) -> f64 {
    let (_, smallest, mantissa) = format(storage);
    // The exponent field of a float64; of a denormal one it is far below any smallest normal.
    let exponent = (value.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    2f64.powi(exponent.max(smallest) - mantissa - 1)
}

/// How far a result is from a finite truth, beyond what rounding the truth once to a 16-bit type may take: |got − truth|
/// less half a unit in the last place of the truth. An infinity stands for all that rounds to it. In float32 it is the
/// whole difference, because the bounds on errors have its rounding in them.
pub fn excess(got: f64, truth: f64, storage: StorageType) -> f64 {
    if storage == StorageType::Float32 {
        return (got - truth).abs();
    }
    let (largest, ..) = format(storage);
    if got.is_infinite() {
        let rounds_to_infinity = largest + half_ulp(largest, storage);
        return (rounds_to_infinity - truth * got.signum()).max(0.0);
    }
    let difference = (got - truth).abs() - half_ulp(truth, storage);
    // Of a NaN, max would make 0.
    if difference.is_nan() { difference } else { difference.max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALVES: [StorageType; 2] = [StorageType::Float16, StorageType::BFloat16];

    /// The value of a bit pattern, made of its fields.
    fn value(bits: u16, storage: StorageType) -> f64 {
        let (_, smallest, mantissa) = format(storage);
        let (exponent, fraction) = ((bits & 0x7fff) >> mantissa, f64::from(bits & ((1 << mantissa) - 1)));
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let unit = 2f64.powi(smallest - mantissa);
        match exponent {
            0 => sign * fraction * unit,
            e if e == 0x7fff >> mantissa => sign * if fraction == 0.0 { f64::INFINITY } else { f64::NAN },
            e => sign * (fraction + 2f64.powi(mantissa)) * unit * 2f64.powi(i32::from(e) - 1),
        }
    }

    fn bits(value: f32, storage: StorageType) -> u16 {
        u16::from_le_bytes(encode(&[value], storage).try_into().unwrap())
    }

    #[test]
    fn every_pattern_is_decoded_and_encoded_again() {
        for storage in HALVES {
            for pattern in 0..=u16::MAX {
                let decoded = decode(&pattern.to_le_bytes(), storage)[0];
                let want = value(pattern, storage);
                let again = bits(decoded, storage);
                if want.is_nan() {
                    assert!(decoded.is_nan() && value(again, storage).is_nan(), "{storage} {pattern:#x}");
                } else {
                    assert_eq!((f64::from(decoded), again), (want, pattern), "{storage} {pattern:#x}");
                }
            }
        }
    }

    /// Between each two neighbours: below the middle, at it and above it; past the largest too, where the next is
    /// infinite.
    #[test]
    fn what_lies_between_is_rounded_to_nearest_even() {
        for storage in HALVES {
            let infinite = bits(f32::INFINITY, storage);
            for pattern in 0..infinite {
                let low = value(pattern, storage);
                let middle = (low + half_ulp(low, storage)) as f32;
                assert_eq!(f64::from(middle), low + half_ulp(low, storage), "a middle is a float32");
                for sign in [1.0, -1.0] {
                    let encoded = |v: f32| bits(sign * v, storage) & 0x7fff;
                    assert_eq!(encoded(middle.next_down()), pattern, "{storage} {low}");
                    assert_eq!(encoded(middle), pattern + pattern % 2, "{storage} {low}");
                    assert_eq!(encoded(middle.next_up()), pattern + 1, "{storage} {low}");
                }
            }
            assert!(
                decode(&encode(&[f32::NAN, f32::from_bits(0x7f80_0001)], storage), storage)
                    .iter()
                    .all(|v| v.is_nan())
            );
        }
    }

    #[test]
    fn half_a_unit_is_no_excess() {
        let half = StorageType::Float16;
        // 1 and its neighbour are 2⁻¹⁰ apart.
        let unit = 2f64.powi(-10);
        assert_eq!(excess(1.0, 1.0 + unit / 2.0, half), 0.0);
        assert_eq!(excess(1.0, 1.0 + unit, half), unit / 2.0);
        assert_eq!(excess(0.0, 2f64.powi(-25), half), 0.0);
        assert_eq!(excess(0.0, 2f64.powi(-24), half), 2f64.powi(-25));
        assert_eq!(excess(1.0, 1.0 + 1e-9, StorageType::Float32), (1.0 + 1e-9) - 1.0);
    }

    #[test]
    fn an_infinity_is_what_rounds_to_it() {
        let half = StorageType::Float16;
        assert_eq!(excess(f64::INFINITY, 65_520.0, half), 0.0);
        assert_eq!(excess(f64::INFINITY, 1e9, half), 0.0);
        assert_eq!(excess(f64::INFINITY, 65_504.0, half), 16.0);
        assert_eq!(excess(f64::NEG_INFINITY, 1e9, half), 65_520.0 + 1e9);
        assert_eq!(excess(65_504.0, 65_600.0, half), 96.0 - 32.0);
        assert!(excess(f64::NAN, 1.0, half).is_nan());
        // The largest bfloat16 is a float32, and so is what rounds to infinity.
        assert_eq!(excess(f64::INFINITY, f32::MAX.into(), StorageType::BFloat16), 0.0);
    }
}
