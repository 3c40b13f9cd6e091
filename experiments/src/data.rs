//! The data sets: files of handwritten digits, and the recorded regression experiment.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};

use crate::network::Linear;

/// Labelled images.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Bytes per image.
    pub width: usize,
    pub pixels: Vec<u8>,
    pub labels: Vec<u32>,
}

impl Images {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn push(&mut self, pixels: &[u8], label: u32) {
        self.pixels.extend_from_slice(pixels);
        self.labels.push(label);
    }
}

/// A classification task.
#[derive(Clone, Debug)]
pub struct Classification {
    pub name: String,
    pub train: Images,
    pub test: Images,
    pub classes: u32,
    /// Makes a byte an input in 0..=1.
    pub scale: f32,
}

const DIGITS: usize = 1797;
const DIGIT_WIDTH: usize = 64;

/// The digits in `directory`: digits_images.u8 and digits_labels.u8.
pub fn digits(directory: &Path) -> Result<Classification> {
    let file = |name: &str| read(&directory.join(name));
    let (pixels, labels) = (file("digits_images.u8")?, file("digits_labels.u8")?);
    parse_digits(&pixels, &labels)
        .with_context(|| format!("the digits in {} are damaged", directory.display()))
}

/// The same from the bytes of these files. Every fifth image is a test image.
pub fn parse_digits(pixels: &[u8], labels: &[u8]) -> Result<Classification> {
    let expected = DIGITS * DIGIT_WIDTH;
    ensure!(
        pixels.len() == expected,
        "digits_images.u8: {expected} bytes were expected ({DIGITS} images of {DIGIT_WIDTH}), not {}",
        pixels.len()
    );
    if let Some(at) = pixels.iter().position(|&value| value > 16) {
        bail!("digits_images.u8: pixels go from 0 to 16, but byte {at} is {}", pixels[at]);
    }
    ensure!(labels.len() == DIGITS, "digits_labels.u8: {DIGITS} labels were expected, not {}", labels.len());
    if let Some(at) = labels.iter().position(|&label| label > 9) {
        bail!("digits_labels.u8: labels go from 0 to 9, but label {at} is {}", labels[at]);
    }
    let empty = || Images { width: DIGIT_WIDTH, ..Default::default() };
    let (mut train, mut test) = (empty(), empty());
    for (i, (image, &label)) in pixels.chunks(DIGIT_WIDTH).zip(labels).enumerate() {
        if i % 5 == 0 { &mut test } else { &mut train }.push(image, label.into());
    }
    Ok(Classification { name: "digits".into(), train, test, classes: 10, scale: 1.0 / 16.0 })
}

/// A data set in MNIST's IDX format: the four uncompressed files in `directory`, under their usual names.
pub fn idx(directory: &Path) -> Result<Classification> {
    let part = |name: &str| -> Result<Images> {
        let path = directory.join(format!("{name}-images-idx3-ubyte"));
        let (size, pixels) = idx_file(&path, 3)?;
        let (count, width) = (size[0], size[1] * size[2]);
        let path = directory.join(format!("{name}-labels-idx1-ubyte"));
        let (size, labels) = idx_file(&path, 1)?;
        ensure!(count > 0 && width > 0, "{}: there are no pixels", path.display());
        ensure!(size[0] == count, "{}: {count} labels were expected, not {}", path.display(), size[0]);
        Ok(Images { width, pixels, labels: labels.into_iter().map(u32::from).collect() })
    };
    let (train, test) = (part("train")?, part("t10k")?);
    ensure!(
        train.width == test.width,
        "training images have {} pixels, test images {}",
        train.width,
        test.width
    );
    let classes = train.labels.iter().chain(&test.labels).max().map_or(0, |&largest| largest + 1);
    let name = directory.file_name().map_or("IDX".into(), |name| name.to_string_lossy().into_owned());
    Ok(Classification { name, train, test, classes, scale: 1.0 / 255.0 })
}

fn idx_file(path: &Path, axes: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    parse_idx(read(path)?, axes).with_context(|| path.display().to_string())
}

/// Sizes of the axes and values of an IDX file of bytes.
pub fn parse_idx(mut bytes: Vec<u8>, axes: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let start = 4 + 4 * axes;
    let magic = [0, 0, 8, axes as u8];
    ensure!(
        bytes.len() >= start && bytes[..4] == magic,
        "not an uncompressed IDX file of bytes with {axes} axes (it should start with {magic:?}, not {:?})",
        &bytes[..bytes.len().min(4)]
    );
    let size: Vec<usize> = bytes[4..start]
        .chunks(4)
        .map(|axis| axis.iter().fold(0, |size, &byte| size << 8 | usize::from(byte)))
        .collect();
    let expected = size.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    let given = bytes.len() - start;
    ensure!(expected == Some(given), "the header announces {size:?} bytes, but {given} follow");
    bytes.drain(..start);
    Ok((size, bytes))
}

/// A regression task with the initial weights of its network.
#[derive(Clone, Debug)]
pub struct Regression {
    pub rows: u32,
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    pub layers: Vec<Linear>,
}

/// A float64 loss curve to compare with.
#[derive(Clone, Debug)]
pub struct RecordedCurve {
    /// Before each update, and after the last one.
    pub train_loss: Vec<f64>,
    pub eval_loss: f64,
}

#[derive(Clone, Debug)]
pub struct Recorded {
    pub task: Regression,
    pub with: RecordedCurve,
    pub without: RecordedCurve,
}

/// The recorded regression experiment, seed_demo_s0.safetensors in `directory`.
pub fn recorded_regression(directory: &Path) -> Result<Recorded> {
    let path = directory.join("seed_demo_s0.safetensors");
    let bytes = read(&path)?;
    parse_recorded(&bytes).with_context(|| format!("{} is damaged", path.display()))
}

const RECORDED_LAYERS: [[u32; 2]; 7] =
    [[20, 128], [128, 128], [128, 128], [128, 128], [128, 128], [128, 128], [128, 1]];

/// The same from the bytes of that file.
pub fn parse_recorded(bytes: &[u8]) -> Result<Recorded> {
    let file = SafeTensors::deserialize(bytes)?;
    let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
        let tensor = file.tensor(name).with_context(|| format!("tensor {name}"))?;
        ensure!(
            tensor.dtype() == dtype && tensor.shape() == shape,
            "tensor {name}: {dtype:?} {shape:?} was expected, not {:?} {:?}",
            tensor.dtype(),
            tensor.shape()
        );
        Ok(tensor.data().to_vec())
    };
    let f32s = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&tensor(name, Dtype::F32, shape)?);
        ensure!(values.iter().all(|value| value.is_finite()), "tensor {name} has values that are not finite");
        Ok(values)
    };
    let f64s = |name: &str, shape: &[usize]| -> Result<Vec<f64>> {
        Ok(bytemuck::pod_collect_to_vec(&tensor(name, Dtype::F64, shape)?))
    };
    let layer = |(i, [inputs, outputs]): (usize, [u32; 2])| -> Result<Linear> {
        let weight = f32s(&format!("lin{i}.weight"), &[outputs as usize, inputs as usize])?;
        let bias = f32s(&format!("lin{i}.bias"), &[outputs as usize])?;
        Ok(Linear { inputs, outputs, weight, bias })
    };
    let curve = |name: &str| -> Result<RecordedCurve> {
        let train_loss = f64s(&format!("loss_{name}64"), &[301])?;
        Ok(RecordedCurve { train_loss, eval_loss: f64s(&format!("eval_loss_{name}64"), &[])?[0] })
    };
    let layers = RECORDED_LAYERS.into_iter().enumerate().map(layer).collect::<Result<_>>()?;
    let task = Regression { rows: 512, x: f32s("X", &[512, 20])?, y: f32s("y", &[512, 1])?, layers };
    Ok(Recorded { task, with: curve("bn")?, without: curve("plain")? })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| {
        format!("cannot read {} (the data is in examples/data; --data names another folder)", path.display())
    })
}
