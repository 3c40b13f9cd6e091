//! Handwritten digits: 1797 images of 8 × 8 pixels, of which every fifth is kept for testing.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::Result;

pub const PIXELS: usize = 64;

/// Images, row after row of pixels from 0 to 1, and which digit each is.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Images {
    pub pixels: Vec<f32>,
    pub labels: Vec<f32>,
}

impl Images {
    fn push(&mut self, pixels: &[f32], label: f32) {
        self.pixels.extend(pixels);
        self.labels.push(label);
    }

    fn rows(&self) -> impl Iterator<Item = (&[f32], f32)> {
        self.pixels.chunks(PIXELS).zip(self.labels.iter().copied())
    }

    /// These images, in this order.
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut images = Self::default();
        for &i in indices {
            images.push(&self.pixels[i * PIXELS..(i + 1) * PIXELS], self.labels[i]);
        }
        images
    }
}

/// Training images and test images, of the files in a folder.
pub fn read(folder: &Path) -> Result<[Images; 2]> {
    let bytes = |name| {
        let file = folder.join(name);
        std::fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))
    };
    let all = Images {
        pixels: bytes("digits_images.u8")?.into_iter().map(|pixel| f32::from(pixel) / 16.0).collect(),
        labels: bytes("digits_labels.u8")?.into_iter().map(f32::from).collect(),
    };
    let mut parts = [Images::default(), Images::default()];
    for (i, (pixels, label)) in all.rows().enumerate() {
        parts[usize::from(i % 5 == 0)].push(pixels, label);
    }
    Ok(parts)
}

/// The images of each batch of some epochs: each epoch a new order, an incomplete last batch dropped.
pub fn schedule(images: usize, batch: usize, epochs: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..images).collect();
    let mut batches = vec![];
    for epoch in 0..epochs {
        order.shuffle(&mut StdRng::seed_from_u64(epoch));
        batches.extend(order.chunks_exact(batch).map(<[usize]>::to_vec));
    }
    batches
}
