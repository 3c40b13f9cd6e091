//! Values as they lie in memory, in each storage type; encoded and decoded by the crate `half`, not by the layer.

use half::{bf16, f16};
use wgpu_batchnorm::{StorageType, wgpu};

use crate::gpu::{download, gpu, whole};

/// The bits of the nearest value that the type has, ties to even.
pub fn encode(storage: StorageType, value: f32) -> u32 {
    match storage {
        StorageType::Float16 => f16::from_f32(value).to_bits().into(),
        StorageType::BFloat16 => bf16::from_f32(value).to_bits().into(),
        _ => value.to_bits(),
    }
}

/// The value of these bits.
pub fn decode(storage: StorageType, bits: u32) -> f32 {
    match storage {
        StorageType::Float16 => f16::from_bits(bits as u16).to_f32(),
        StorageType::BFloat16 => bf16::from_bits(bits as u16).to_f32(),
        _ => f32::from_bits(bits),
    }
}

/// Words of the values' bits; where two share a word and one is left over, its other half is `rest`.
pub fn words(storage: StorageType, bits: &[u32], rest: u16) -> Vec<u32> {
    match storage.bytes() {
        2 => bits.chunks(2).map(|p| p[0] | p.get(1).map_or(u32::from(rest), |&b| b) << 16).collect(),
        _ => bits.to_vec(),
    }
}

/// The bits of so many values in words.
pub fn bits(storage: StorageType, words: &[u32], len: usize) -> Vec<u32> {
    match storage.bytes() {
        2 => words.iter().flat_map(|word| [word & 0xffff, word >> 16]).take(len).collect(),
        _ => words[..len].to_vec(),
    }
}

/// A buffer with the nearest values of the type.
pub fn upload(storage: StorageType, values: &[f32]) -> wgpu::Buffer {
    upload_bits(storage, &values.iter().map(|&value| encode(storage, value)).collect::<Vec<_>>())
}

/// A buffer with values of these bits.
pub fn upload_bits(storage: StorageType, bits: &[u32]) -> wgpu::Buffer {
    let words = words(storage, bits, 0);
    let buffer = gpu().empty(words.len());
    gpu().queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
    buffer
}

/// The bits of the first values of a buffer.
pub fn download_bits(storage: StorageType, buffer: &wgpu::Buffer, len: usize) -> Vec<u32> {
    bits(storage, &download::<u32>(&gpu().device, &gpu().queue, whole(buffer)), len)
}

/// The first values of a buffer.
pub fn values(storage: StorageType, buffer: &wgpu::Buffer, len: usize) -> Vec<f32> {
    download_bits(storage, buffer, len).into_iter().map(|bits| decode(storage, bits)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_value_shares_its_word() {
        let words = words(StorageType::BFloat16, &[1, 2, 3], 0xabcd);
        assert_eq!(words, [0x0002_0001, 0xabcd_0003]);
        assert_eq!(bits(StorageType::BFloat16, &words, 3), [1, 2, 3]);
    }
}
