//! Ranges of buffers with a known pattern around each, so that a write outside of a range is seen.

use wgpu_batchnorm::wgpu;

use crate::gpu::{download, gpu, part, whole};

/// Words of the pattern before and after each range: as many as the alignment that every device can bind at.
const GUARD: usize = 64;

/// The pattern: different everywhere, and no number that a kernel computes; or garbage, which may be any number.
fn guard(at: usize, garbage: Option<u32>) -> u32 {
    match garbage {
        None => 0xffa5_0000 | (at as u32 & 0xffff),
        Some(seed) => (at as u32 ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(13) ^ seed,
    }
}

#[derive(Clone, Copy)]
struct Range {
    buffer: usize,
    /// In words.
    begin: usize,
    len: usize,
}

/// Ranges of 32-bit words, each between guards.
pub struct Guarded {
    buffers: Vec<wgpu::Buffer>,
    ranges: Vec<Range>,
    garbage: Option<u32>,
}

impl Guarded {
    /// Ranges of so many words, each in a buffer of its own, or all in one.
    pub fn new(one_buffer: bool, lens: &[usize]) -> Self {
        Self::with_margin(one_buffer, GUARD, lens, None)
    }

    /// The same with so many words before the first range of a buffer, and garbage of this seed for a pattern.
    pub fn with_margin(one_buffer: bool, margin: usize, lens: &[usize], garbage: Option<u32>) -> Self {
        let (mut ranges, mut sizes) = (Vec::new(), Vec::new());
        for &len in lens {
            if sizes.is_empty() || !one_buffer {
                sizes.push(margin);
            }
            let buffer = sizes.len() - 1;
            ranges.push(Range { buffer, begin: sizes[buffer], len });
            sizes[buffer] = (sizes[buffer] + len).next_multiple_of(GUARD) + GUARD;
        }
        let buffers = sizes.into_iter().map(|size| {
            let words: Vec<u32> = (0..size).map(|at| guard(at, garbage)).collect();
            let buffer = gpu().empty(size);
            gpu().queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
            buffer
        });
        Self { buffers: buffers.collect(), ranges, garbage }
    }

    pub fn binding(&self, k: usize) -> wgpu::BufferBinding<'_> {
        let Range { buffer, begin, len } = self.ranges[k];
        part(&self.buffers[buffer], begin as u64 * 4, len as u64 * 4)
    }

    /// Writes a range.
    pub fn write(&self, k: usize, words: &[u32]) {
        let Range { buffer, begin, len } = self.ranges[k];
        assert_eq!(words.len(), len, "range {k}");
        gpu().queue.write_buffer(&self.buffers[buffer], begin as u64 * 4, bytemuck::cast_slice(words));
    }

    /// All ranges. Panics where a word outside of them is not what it was.
    #[track_caller]
    pub fn read(&self, what: &str) -> Vec<Vec<u32>> {
        let gpu = gpu();
        let of = |buffer| download::<u32>(&gpu.device, &gpu.queue, whole(buffer));
        let buffers: Vec<Vec<u32>> = self.buffers.iter().map(of).collect();
        for (number, words) in buffers.iter().enumerate() {
            let mut next = 0;
            let inside = self.ranges.iter().filter(|range| range.buffer == number);
            for (begin, end) in inside.map(|r| (r.begin, r.begin + r.len)).chain([(words.len(), 0)]) {
                let changed = (next..begin).find(|&at| words[at] != guard(at, self.garbage));
                assert!(changed.is_none(), "{what}: word {changed:?} of buffer {number} is in no range");
                next = end;
            }
        }
        self.ranges.iter().map(|r| buffers[r.buffer][r.begin..r.begin + r.len].to_vec()).collect()
    }
}
