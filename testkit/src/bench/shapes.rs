//! What is measured: the works, how many bytes each has to move, and the tensors.

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

/// A tensor to measure on.
#[derive(Debug, Clone)]
pub struct Case {
    /// N×C or N×C×H×W in ASCII; channels-last ones end in `_last`.
    pub name: String,
    /// N, C and the spatial axes.
    pub axes: Vec<u32>,
    /// Whether C comes last in memory.
    pub last: bool,
}

impl Case {
    /// Panics where the name is none: all are written here.
    pub fn new(name: &str) -> Self {
        let (axes, last) = name.strip_suffix("_last").map_or((name, false), |axes| (axes, true));
        let axes = axes.split('x').map(|axis| axis.parse().unwrap_or_else(|_| panic!("{name}: {axis}?")));
        Self { name: name.into(), axes: axes.collect(), last }
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

/// A group of `benches/shapes.txt`: `everyday` is measured for everyone, `awkward` for fewer, `large` not on the CPU.
pub fn group(name: &str) -> Vec<Case> {
    let title = format!("[{name}]");
    let lines = include_str!("../../../benches/shapes.txt").lines().skip_while(|line| *line != title).skip(1);
    let cases = lines.take_while(|line| !line.starts_with('['));
    cases.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Case::new).collect()
}
