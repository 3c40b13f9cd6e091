//! What is measured: the works, how many bytes each has to move, and the tensors.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

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
    pub const fn tensors_moved(self) -> u64 {
        match self {
            Work::TrainingForward => 3,
            Work::Evaluation => 2,
            Work::Backward => 5,
            Work::TrainingStep => 8,
        }
    }
}

/// A tensor to measure on; as text its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// N×C or N×C×H×W in ASCII; channels-last ones end in `_last`.
    pub name: String,
    /// N, C and the spatial axes.
    pub axes: Vec<u32>,
    /// Whether C comes last in memory.
    pub last: bool,
}

impl Case {
    /// Panics where the name is none, as those of the project are.
    pub fn new(name: &str) -> Self {
        name.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn features(&self) -> usize {
        self.axes[1] as usize
    }

    /// Values of a feature and an element of the batch.
    pub fn plane(&self) -> usize {
        self.axes[2..].iter().map(|&axis| axis as usize).product()
    }

    pub fn elements(&self) -> usize {
        self.axes.iter().map(|&axis| axis as usize).product()
    }

    pub fn bytes(&self) -> u64 {
        4 * self.elements() as u64
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (axes, last) = name.strip_suffix("_last").map_or((name, false), |axes| (axes, true));
        let axes: Option<Vec<u32>> = axes.split('x').map(|axis| axis.parse().ok()).collect();
        let bytes =
            |axes: &[u32]| axes.iter().try_fold(4usize, |bytes, &axis| bytes.checked_mul(axis as usize));
        match axes {
            Some(axes) if axes.len() >= 2 && bytes(&axes).is_some() => {
                Ok(Self { name: name.into(), axes, last })
            }
            _ => Err(format!(
                "required a tensor that memory can hold, by two axes or more, such as 4096x256 or 32x64x56x56_last, \
                 given {name:?}"
            )),
        }
    }
}

#[cfg(feature = "conformance")]
impl From<&Case> for wgpu_batchnorm::Shape {
    fn from(Case { axes, last, .. }: &Case) -> Self {
        match last {
            true => Self::channels_last(axes[0], &axes[2..], axes[1]),
            false => Self::channels_first(axes[0], axes[1], &axes[2..]),
        }
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(&self.name)
    }
}

/// A group of `benches/shapes.txt`: `everyday` is measured for everyone, `awkward` for fewer, `large` not on the CPU.
pub fn group(name: &str) -> Vec<Case> {
    let title = format!("[{name}]");
    let lines = include_str!("../../../benches/shapes.txt").lines().skip_while(|line| *line != title).skip(1);
    let cases = lines.take_while(|line| !line.starts_with('['));
    cases.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Case::new).collect()
}

/// The tensors of these names; those of the groups, where none is named.
pub fn named_or_of(names: &[String], groups: &[&str]) -> Vec<Case> {
    match names {
        [] => groups.iter().copied().flat_map(group).collect(),
        names => names.iter().map(|name| Case::new(name)).collect(),
    }
}
