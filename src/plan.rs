//! How a piece of work is done on one device: which kernels, on how many workgroups, at what cost in memory.

use std::time::Duration;

use crate::cost::Traffic;
use crate::error::PrepareError;
use crate::grid::{Frame, Grid, MAX_ITERATIONS};
use crate::machine::Machine;
use crate::shape::Shape;

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// Batch statistics, then y.
    Training,
    /// Running statistics, then y.
    Evaluation,
    /// Gradients: sums over the batch for those of weight and bias, and for dx where the batch's statistics
    /// normalized (`reduce`); dx (`apply`).
    Backward { reduce: bool, apply: bool },
}

impl Work {
    /// Whether it needs sums over the batch.
    fn reduces(self) -> bool {
        !matches!(self, Work::Evaluation | Work::Backward { reduce: false, .. })
    }

    /// Whether it writes a tensor.
    fn applies(self) -> bool {
        !matches!(self, Work::Backward { apply: false, .. })
    }

    /// Tensors read.
    pub(crate) fn inputs(self) -> u32 {
        if matches!(self, Work::Backward { reduce: true, .. }) { 2 } else { 1 }
    }

    /// Vectors of C values left by each chunk: shift, mean and square, or two sums.
    fn partials(self) -> u64 {
        if matches!(self, Work::Backward { .. }) { 2 } else { 3 }
    }

    fn name(self) -> &'static str {
        match self {
            Work::Training => "training",
            Work::Evaluation => "evaluation",
            Work::Backward { .. } => "backward",
        }
    }
}

/// The way through the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// One dispatch: each workgroup takes all values of its features, and at best finds them in a cache when it reads
    /// them a second time.
    Resident,
    /// One dispatch: each workgroup holds all values of its features in registers, and reads them once.
    Held,
    /// Features are split over workgroups: one dispatch to reduce, one to merge, one to apply.
    Split,
    /// One dispatch that needs no sums over the batch.
    Direct,
    /// Two dispatches, to reduce and to merge: backward without dx.
    Reduce,
    /// No value is read: the batch is empty (one dispatch counts it, or writes zero gradients), or nothing is wanted.
    Empty,
}

/// How workgroups see the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum View {
    /// A workgroup reads planes of one feature, or of a few on software adapters; for tensors with more than one
    /// position between features.
    Planes,
    /// A workgroup reads a block of features side by side; for tensors whose features are their last axis.
    Rows,
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Path::Resident => "resident",
            Path::Held => "held",
            Path::Split => "split",
            Path::Direct => "direct",
            Path::Reduce => "reduce",
            Path::Empty => "empty",
        })
    }
}

impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            View::Planes => "planes",
            View::Rows => "rows",
        })
    }
}

/// What a plan should be, where it is not to be chosen: for tests and measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PlanRequest {
    /// [`Path::Held`], [`Path::Resident`] or [`Path::Split`], where there is a choice. Evaluation is [`Path::Direct`].
    pub path: Option<Path>,
    /// [`View::Planes`] is possible for every shape, [`View::Rows`] where features are the last axis.
    pub view: Option<View>,
    /// Values an invocation loads at a time: 1, 4 or 16, which must divide the plane or the row.
    pub width: Option<u32>,
    /// Invocations of a workgroup, a power of two up to the device's limit.
    pub lanes: Option<u32>,
    /// Workgroups per feature (planes) or block of features (rows).
    pub chunks: Option<u32>,
}

/// How a step will be done, and what it costs. Print it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) work: Work,
    shape: Shape,
    path: Path,
    /// The dispatch that reduces, or does everything.
    pub(crate) first: Grid,
    /// The dispatch that merges chunks.
    pub(crate) merge: Grid,
    /// The dispatch that applies, on the split path.
    pub(crate) second: Grid,
    /// Of each dispatch; what is recorded.
    pub(crate) workgroups: Vec<u32>,
    /// What is allocated.
    pub(crate) scratch_bytes: u64,
    bytes_moved: u64,
    predicted: Duration,
}

impl Plan {
    /// The way through the kernels.
    pub fn path(&self) -> Path {
        self.path
    }

    /// How workgroups see the tensor.
    pub fn view(&self) -> View {
        self.first.view
    }

    /// Values an invocation loads at a time.
    pub fn width(&self) -> u32 {
        self.first.width
    }

    /// Invocations of a workgroup.
    pub fn lanes(&self) -> u32 {
        self.first.lanes
    }

    /// Workgroups of each dispatch, in order.
    pub fn workgroups(&self) -> &[u32] {
        &self.workgroups
    }

    /// Dispatches recorded.
    pub fn dispatches(&self) -> usize {
        self.workgroups.len()
    }

    /// Bytes of device memory that the step allocates beside the tensors: partial moments, the per-feature record.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes
    }

    /// Bytes that have to go through memory: reads and writes of the tensors, a second read of the resident path not
    /// counted, since a cache serves it at best.
    pub fn bytes_moved(&self) -> u64 {
        self.bytes_moved
    }

    /// How long a device of this class takes, by the model that chose the plan: a guide, made of constants that were
    /// measured on lavapipe and are assumptions for GPUs (src/cost.rs).
    pub fn predicted(&self) -> Duration {
        self.predicted
    }

    /// Vectors of C values that the reducing dispatch leaves for the merging one.
    pub(crate) fn partial_vectors(&self) -> u64 {
        u64::from(self.first.chunks) * self.work.partials()
    }

    /// Plans the work on the machine, or says which part of the request is not possible.
    pub(crate) fn new(
        machine: &Machine,
        work: Work,
        shape: Shape,
        request: PlanRequest,
    ) -> Result<Self, PrepareError> {
        let plan = |path, first: Grid, second, bytes_moved, nanoseconds| Self {
            work,
            shape,
            path,
            first,
            merge: machine.merge(shape.features(), first.chunks),
            second,
            workgroups: Vec::new(),
            scratch_bytes: 0,
            bytes_moved,
            predicted: Duration::from_nanos(nanoseconds as u64),
        };
        if shape.count() == 0 || !(work.reduces() || work.applies()) {
            return Ok(plan(Path::Empty, Grid::NONE, Grid::NONE, 0, 0.0));
        }
        let frames = Frame::all(machine, work, shape, request)?;
        let choice = choices(machine, work, shape, &frames)
            .into_iter()
            .filter(|choice| match request.path {
                Some(path) => choice.path == path,
                None => choice.path != Path::Held || machine.holds(&choice.first),
            })
            .min_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
        let Some(Choice { path, first, second, nanoseconds }) = choice else {
            return Err(PrepareError::Plan {
                required: match (work.reduces(), work.applies()) {
                    (false, _) => "the direct path",
                    (true, false) => "the reduce path",
                    (true, true) => {
                        "the split path; the resident one where no feature is too long and chunks are 1; the held one \
                         where features are small, too"
                    }
                },
                given: request.path.map_or_else(String::new, |path| format!("{path:?}")),
            });
        };
        let (tensor, inputs) = (shape.bytes(), u64::from(work.inputs()));
        let bytes_moved = match path {
            Path::Split => 2 * inputs + 1,
            Path::Reduce => inputs,
            _ => inputs + 1,
        } * tensor;
        let plan = plan(path, first, second, bytes_moved, nanoseconds);
        if let Path::Split | Path::Reduce = path {
            if u64::from(first.chunks) > MAX_ITERATIONS {
                let (required, given) = ("at most 65,000 chunks", first.chunks.to_string());
                return Err(PrepareError::Plan { required, given });
            }
            let required = plan.partial_vectors() * vector_stride(shape.features()) * 4;
            if required > machine.max_binding {
                let (limit, given) = ("max_storage_buffer_binding_size", machine.max_binding);
                return Err(PrepareError::DeviceLimit { limit, required, given });
            }
        }
        Ok(plan)
    }
}

/// A way to do the work.
struct Choice {
    path: Path,
    first: Grid,
    second: Grid,
    nanoseconds: f64,
}

/// All ways through the kernels, each with the workgroups that are best for it.
fn choices(machine: &Machine, work: Work, shape: Shape, frames: &[Frame]) -> Vec<Choice> {
    let Machine { costs, .. } = machine;
    let inputs = work.inputs();
    let cost = |grid: &Grid, traffic| costs.dispatch(grid, traffic, shape.bytes());
    let alone = |path, traffic| {
        move |grid| Choice { path, first: grid, second: grid, nanoseconds: cost(&grid, traffic) }
    };
    let reduce = Traffic { reduced: inputs, ..Traffic::default() };
    let apply = Traffic { applied: inputs, written: 1, ..Traffic::default() };
    let held = Traffic { written: 1, ..reduce };
    let both = Traffic { reduced: inputs, again: true, ..apply };
    let reduced =
        |grid: &Grid| cost(grid, reduce) + costs.merge(&machine.merge(shape.features(), grid.chunks));
    let groups = costs.groups();
    let grids: Vec<Grid> = frames.iter().flat_map(|frame| frame.split(&groups)).collect();
    let best = |cost: &dyn Fn(&Grid) -> f64| {
        grids.iter().map(|grid| (*grid, cost(grid))).min_by(|a, b| a.1.total_cmp(&b.1))
    };

    match (work.reduces(), work.applies()) {
        (false, _) => grids.into_iter().map(alone(Path::Direct, apply)).collect(),
        (true, false) => best(&reduced)
            .map(|(first, nanoseconds)| Choice { path: Path::Reduce, first, second: first, nanoseconds })
            .into_iter()
            .collect(),
        (true, true) => {
            let again = Traffic { again: true, ..apply };
            let split = best(&reduced).zip(best(&|grid| cost(grid, again))).map(|(first, second)| Choice {
                path: Path::Split,
                first: first.0,
                second: second.0,
                nanoseconds: first.1 + second.1,
            });
            let resident = frames.iter().filter_map(Frame::resident).map(alone(Path::Resident, both));
            let held = frames.iter().filter_map(Frame::held).map(alone(Path::Held, held));
            split.into_iter().chain(resident).chain(held).collect()
        }
    }
}

/// Float32 from one vector of C values to the next: each can be bound by itself on every device.
pub(crate) fn vector_stride(features: u32) -> u64 {
    u64::from(features).next_multiple_of(64)
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}: {}", self.work.name(), self.shape, self.path)?;
        if self.path != Path::Empty {
            let Grid { view, width, lanes, columns, .. } = self.first;
            write!(f, " over {view}, {lanes} invocations")?;
            if columns > 1 {
                write!(f, " ({columns} side by side)")?;
            }
            write!(f, " of {width} values")?;
        }
        let workgroups: Vec<String> = self.workgroups.iter().map(u32::to_string).collect();
        write!(
            f,
            "; {} dispatch{} of {} workgroups; {} bytes of scratch, {} bytes moved; {:.3} ms predicted",
            workgroups.len(),
            if workgroups.len() == 1 { "" } else { "es" },
            if workgroups.is_empty() { "0".into() } else { workgroups.join(", ") },
            self.scratch_bytes,
            self.bytes_moved,
            self.predicted.as_secs_f64() * 1e3,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(work: Work, shape: Shape) -> Plan {
        Plan::new(&Machine::GPU, work, shape, PlanRequest::default()).unwrap()
    }

    #[test]
    fn a_few_values_per_feature_are_held() {
        assert_eq!(plan(Work::Training, Shape::rows(64, 1024)).path(), Path::Held);
        assert_eq!(plan(Work::Training, Shape::channels_first(32, 2048, &[7, 7])).path(), Path::Held);
    }

    #[test]
    fn larger_workgroups_hold_larger_features() {
        let (shape, backward) =
            (Shape::channels_first(32, 512, &[28, 28]), Work::Backward { reduce: true, apply: true });
        let plan = |lanes, work| {
            let machine = Machine { max_lanes: lanes, ..Machine::GPU };
            Plan::new(&machine, work, shape, PlanRequest::default()).unwrap()
        };
        assert_eq!(plan(256, Work::Training).path(), Path::Resident);
        let held = plan(1024, Work::Training);
        assert_eq!((held.path(), held.lanes(), held.first.held), (Path::Held, 512, 16));
        // Backward would hold twice as much.
        assert_eq!(plan(1024, backward).path(), Path::Resident);
    }

    #[test]
    fn many_values_per_feature_are_split() {
        let plan = plan(Work::Training, Shape::channels_first(1, 3, &[1024, 1024]));
        assert_eq!(plan.path(), Path::Split);
        assert!(plan.first.groups > 512);
    }

    #[test]
    fn no_invocation_exceeds_the_loop_budget() {
        for machine in [Machine::GPU, Machine::software(8), Machine::software(4)] {
            for count in [1u32, 65_535, 65_536, 2_000_003, 1 << 24, 1 << 31] {
                for shape in [Shape::rows(count, 1), Shape::channels_first(1, 1, &[count])] {
                    for work in
                        [Work::Training, Work::Evaluation, Work::Backward { reduce: true, apply: true }]
                    {
                        let frames = Frame::all(&machine, work, shape, PlanRequest::default()).unwrap();
                        let plan = Plan::new(&machine, work, shape, PlanRequest::default()).unwrap();
                        assert!(u64::from(plan.merge.chunks) <= MAX_ITERATIONS, "{plan}");
                        for grid in [plan.first, plan.second] {
                            assert!(frames[0].iterations(&grid) <= 65_535, "{plan}: {grid:?}");
                            assert!(u64::from(grid.chunks) * u64::from(grid.chunk) >= u64::from(grid.total));
                            assert!(
                                u64::from(grid.chunks - 1) * u64::from(grid.chunk) < u64::from(grid.total)
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn plans_print_what_they_cost() {
        let plan = plan(Work::Training, Shape::channels_first(32, 64, &[56, 56]));
        let text = plan.to_string();
        assert!(text.contains("split over planes"), "{text}");
        assert!(text.contains(&format!("{} bytes moved", 3 * 32 * 64 * 56 * 56 * 4)), "{text}");
    }
}
