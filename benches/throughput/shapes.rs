//! What is measured: the works, how many bytes each has to move, and the tensors.

use wgpu_batchnorm::Shape;

/// A work of the layer, as the ids name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    TrainingForward,
    Evaluation,
    Backward,
    TrainingStep,
}

impl Work {
    pub const ALL: [Work; 4] = [Work::TrainingForward, Work::Evaluation, Work::Backward, Work::TrainingStep];

    pub fn name(self) -> &'static str {
        match self {
            Work::TrainingForward => "training_forward",
            Work::Evaluation => "evaluation",
            Work::Backward => "backward",
            Work::TrainingStep => "training_step",
        }
    }

    /// Reads and writes of the tensor where nothing stays in a cache: x for statistics, x and y; x and y; x and dy for
    /// sums, x, dy and dx; all of a forward and a backward.
    pub fn tensors_moved(self) -> u64 {
        match self {
            Work::TrainingForward => 3,
            Work::Evaluation => 2,
            Work::Backward => 5,
            Work::TrainingStep => 8,
        }
    }
}

/// Reads and writes of the tensor by a copy.
pub const TENSORS_COPIED: u64 = 2;

/// A tensor to measure on.
#[derive(Debug, Clone)]
pub struct Case {
    /// N×C×H×W in ASCII; channels-last ones end in `_last`.
    pub name: String,
    pub shape: Shape,
    /// Values of a feature that lie side by side: a plane, or 1.
    pub inner: usize,
}

/// N×C.
pub fn rows(n: u32, c: u32) -> Case {
    Case { name: format!("{n}x{c}"), shape: Shape::rows(n, c), inner: 1 }
}

/// N×C×H×W.
pub fn first(n: u32, c: u32, h: u32, w: u32) -> Case {
    let shape = Shape::channels_first(n, c, &[h, w]);
    Case { name: format!("{n}x{c}x{h}x{w}"), shape, inner: (h * w) as usize }
}

/// N×H×W×C.
pub fn last(n: u32, c: u32, h: u32, w: u32) -> Case {
    let shape = Shape::channels_last(n, &[h, w], c);
    Case { name: format!("{n}x{c}x{h}x{w}_last"), shape, inner: 1 }
}

/// Measured for everyone.
pub fn everyday() -> Vec<Case> {
    let mut cases = vec![rows(4096, 256), rows(1024, 1024)];
    for (n, c, side) in [(32, 64, 56), (32, 256, 14), (8, 32, 112)] {
        cases.extend([first(n, c, side, side), last(n, c, side, side)]);
    }
    cases
}

/// Measured for the layer and the copy kernel: few features; many features of few values; odd planes; odd everything.
pub fn awkward() -> Vec<Case> {
    vec![
        first(1, 3, 1024, 1024),
        rows(65536, 8),
        first(8, 2048, 1, 1),
        rows(16, 4096),
        first(4, 100, 7, 7),
        rows(128, 65),
    ]
}

/// Likewise, and too large for a software adapter.
pub fn large() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, c, side) in [(32, 64, 112), (32, 256, 56), (32, 512, 28), (32, 2048, 7), (64, 64, 224)] {
        cases.extend([first(n, c, side, side), last(n, c, side, side)]);
    }
    cases.extend([rows(65536, 1024), rows(8192, 4096)]);
    cases
}
