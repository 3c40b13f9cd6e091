//! How a piece of work is done on one device: which kernels, on how many workgroups, at what cost in memory.

use crate::error::PrepareError;
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
    fn inputs(self) -> u64 {
        if matches!(self, Work::Backward { .. }) { 2 } else { 1 }
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
    /// A workgroup reads planes of one feature; for tensors with more than one position between features.
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
    /// [`Path::Resident`] or [`Path::Split`], where there is a choice. Evaluation is [`Path::Direct`].
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

/// Loads that an invocation may hold, each a shader of its own.
pub(crate) const HELD: [u32; 3] = [4, 8, 16];

/// Workgroups of one dispatch over the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub view: View,
    /// Values an invocation loads at a time.
    pub width: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
    /// Features (planes) or Values of a row (rows) that a workgroup takes side by side.
    pub columns: u32,
    /// The most loads that an invocation holds, on the held path.
    pub held: u32,
    /// Workgroups per feature or block of features.
    pub chunks: u32,
    /// Loads (planes) or rows (rows) of a chunk.
    pub chunk: u32,
    /// Loads of a feature (planes) or rows (rows) in all.
    pub total: u32,
    /// Workgroups in all.
    pub groups: u32,
}

impl Grid {
    /// No workgroup.
    pub const NONE: Self = Self {
        view: View::Rows,
        width: 1,
        lanes: 1,
        columns: 1,
        held: 0,
        chunks: 0,
        chunk: 0,
        total: 0,
        groups: 0,
    };

    /// Loads of one invocation.
    fn loads(&self) -> u64 {
        u64::from(self.chunk).div_ceil((self.lanes / self.columns).into())
    }
}

/// What a device is like, as far as plans differ by it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Machine {
    /// Lanes of a SIMD vector, on an adapter that runs on the CPU.
    software: Option<u32>,
    max_lanes: u32,
    max_workgroup_bytes: u32,
    max_workgroups: u32,
    max_binding: u64,
    alignment: u32,
}

/// Registers of a multiprocessor (32 bits each, 64 Ki on NVIDIA, AMD and Intel GPUs have as many or more), and what an
/// invocation needs of them beside the values it holds.
const REGISTERS: u32 = 1 << 16;
const REGISTERS_FOR_THE_REST: u32 = 40;

/// Mesa 22.3's lavapipe stops an invocation's loops after 65,535 iterations in all, without a word.
const MAX_ITERATIONS: u64 = 65_000;

impl Machine {
    pub fn of(device: &wgpu::Device) -> Self {
        let (limits, info) = (device.limits(), device.adapter_info());
        Self {
            software: (info.device_type == wgpu::DeviceType::Cpu)
                .then(|| info.subgroup_min_size.clamp(4, 16).next_power_of_two()),
            max_lanes: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            // Indices have 32 bits.
            max_binding: limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size)
                .min(u64::from(u32::MAX) * 4),
            alignment: limits.min_storage_buffer_offset_alignment,
        }
    }

    /// The same device, planned for as a GPU.
    pub fn as_gpu(self) -> Self {
        Self { software: None, ..self }
    }

    /// Whether the device runs compute shaders at all.
    pub fn computes(&self) -> bool {
        self.max_workgroups > 0
    }

    pub fn max_binding(&self) -> u64 {
        self.max_binding
    }

    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    /// The workgroups of a dispatch, folded into two dimensions where they are more than one takes.
    pub fn workgroups(&self, groups: u32) -> Result<[u32; 2], PrepareError> {
        let x = groups.min(self.max_workgroups).max(1);
        let y = groups.div_ceil(x);
        if y > self.max_workgroups {
            return Err(PrepareError::DeviceLimit {
                limit: "max_compute_workgroups_per_dimension",
                required: y.into(),
                given: self.max_workgroups.into(),
            });
        }
        Ok([x, y])
    }

    /// The dispatch that merges the chunks of each feature.
    fn merge(&self, features: u32, chunks: u32) -> Grid {
        let width = if features.is_multiple_of(4) { 4 } else { 1 };
        let places = features / width;
        // 128 bytes side by side; the other invocations share the chunks.
        let columns = places.next_power_of_two().min(self.software.unwrap_or(32 / width));
        let useful = (columns * chunks.clamp(1, 256)).next_power_of_two();
        let lanes = self.software.unwrap_or(useful.clamp(64, 256));
        let lanes = lanes.min(self.max_lanes_of(View::Rows, width)).max(columns);
        let groups = places.div_ceil(columns);
        Grid { view: View::Rows, width, lanes, columns, chunks, groups, ..Grid::NONE }
    }

    /// The largest workgroup that keeps the Moments of each invocation in workgroup memory: their count, and three
    /// statistics of each feature that the invocation holds. tests/shaders.rs holds the shaders to these sizes.
    fn max_lanes_of(&self, view: View, width: u32) -> u32 {
        let bytes = match (view, width) {
            (View::Planes, _) | (View::Rows, 1) => 16,
            (View::Rows, width) => 16 + 3 * 4 * width,
        };
        1 << self.max_lanes.min(self.max_workgroup_bytes / bytes).max(1).ilog2()
    }
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
        let plan = |path, first: Grid, second, bytes_moved| Self {
            work,
            shape,
            path,
            first,
            merge: machine.merge(shape.features(), first.chunks),
            second,
            workgroups: Vec::new(),
            scratch_bytes: 0,
            bytes_moved,
        };
        if shape.count() == 0 || !(work.reduces() || work.applies()) {
            return Ok(plan(Path::Empty, Grid::NONE, Grid::NONE, 0));
        }
        let frame = Frame::new(machine, work, shape, request)?;
        let whole = frame.grid(1);
        let resident = frame.iterations(&whole) <= MAX_ITERATIONS && frame.chunks.is_none_or(|c| c == 1);
        let held = frame.held();
        let path = match (work.reduces(), work.applies(), request.path) {
            (true, true, Some(Path::Held)) if held.is_some() => Path::Held,
            (true, true, None) if held.is_some() && !frame.software => Path::Held,
            (false, _, None | Some(Path::Direct)) => Path::Direct,
            (true, false, None | Some(Path::Reduce)) => Path::Reduce,
            (true, true, Some(Path::Resident)) if resident => Path::Resident,
            (true, true, Some(Path::Split)) => Path::Split,
            (true, true, None) if resident && frame.prefers_resident(&whole) => Path::Resident,
            (true, true, None) => Path::Split,
            (reduces, applies, Some(path)) => {
                return Err(PrepareError::Plan {
                    required: match (reduces, applies) {
                        (false, _) => "the direct path",
                        (true, false) => "the reduce path",
                        _ if resident => {
                            "the resident or the split path, or the held one where features are small"
                        }
                        _ => {
                            "the split path, since the features of a workgroup would have too many values or chunks"
                        }
                    },
                    given: format!("{path:?}"),
                });
            }
        };
        let (tensor, inputs) = (shape.bytes(), work.inputs());
        let (first, second, bytes_moved) = match path {
            Path::Resident | Path::Held => {
                let grid = held.filter(|_| path == Path::Held).unwrap_or(whole);
                (grid, grid, (inputs + 1) * tensor)
            }
            Path::Direct => {
                let grid = frame.grid(frame.apply_chunks());
                (grid, grid, (inputs + 1) * tensor)
            }
            _ => {
                let reads = if path == Path::Split { 2 * inputs + 1 } else { inputs };
                (frame.grid(frame.reduce_chunks()), frame.grid(frame.apply_chunks()), reads * tensor)
            }
        };
        let plan = plan(path, first, second, bytes_moved);
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
            "; {} dispatch{} of {} workgroups; {} bytes of scratch, {} bytes moved",
            workgroups.len(),
            if workgroups.len() == 1 { "" } else { "es" },
            if workgroups.is_empty() { "0".into() } else { workgroups.join(", ") },
            self.scratch_bytes,
            self.bytes_moved
        )
    }
}

/// What is fixed of a plan before its path is chosen: the view, the width of loads, the workgroup.
#[derive(Clone, Copy)]
struct Frame {
    software: bool,
    work: Work,
    view: View,
    width: u32,
    lanes: u32,
    columns: u32,
    /// Loads of a feature (planes), or rows.
    total: u32,
    /// Features (planes) or Values in a row (rows): what workgroups take `columns` of, side by side.
    places: u32,
    chunks: Option<u32>,
    elements: u64,
    /// Larger workgroups that the held path may take.
    more_lanes: Option<u32>,
}

impl Frame {
    fn new(machine: &Machine, work: Work, shape: Shape, request: PlanRequest) -> Result<Self, PrepareError> {
        let impossible = |required, given: String| Err(PrepareError::Plan { required, given });
        let view = match request.view {
            None if shape.inner() == 1 => View::Rows,
            None => View::Planes,
            Some(View::Rows) if shape.inner() != 1 => {
                return impossible("planes, since features are not the last axis", "Rows".into());
            }
            Some(view) => view,
        };
        let row = match view {
            View::Planes => shape.inner(),
            View::Rows => shape.features().into(),
        };
        let widest = if machine.software.is_some() { 16 } else { 4 };
        let width = match request.width {
            None => *[16, 4, 1].iter().find(|&&w| w <= widest && row % u64::from(w) == 0).unwrap_or(&1),
            Some(w) if [1, 4, 16].contains(&w) && row % u64::from(w) == 0 => w,
            Some(w) => {
                return impossible("a width of 1, 4 or 16 that divides the plane or row", w.to_string());
            }
        };
        let max_lanes = machine.max_lanes_of(view, width);
        let places = match view {
            View::Planes => shape.features(),
            View::Rows => shape.features() / width,
        };
        let (total, loads) = match view {
            View::Planes => {
                (shape.outer() * shape.inner() / u64::from(width), shape.count() / u64::from(width))
            }
            View::Rows => (shape.count(), shape.count() * u64::from(places)),
        };
        let lanes = match request.lanes {
            Some(lanes) if lanes.is_power_of_two() && lanes <= max_lanes => lanes,
            Some(lanes) => {
                return impossible("lanes that are a power of two and fit the device", lanes.to_string());
            }
            None => match machine.software {
                Some(simd) => simd.min(max_lanes),
                // Not more invocations than there is to load, but full subgroups.
                None => (loads.min(256) as u32).next_power_of_two().clamp(32, 256).min(max_lanes),
            },
        };
        // A row's share of a workgroup: 128 bytes side by side make full use of a memory transaction.
        let columns = match (view, machine.software) {
            // Each lane of the SIMD vector has its own feature, where there are enough: no lane waits for another.
            (View::Planes, Some(_)) if places >= 2 * lanes && total <= 1 << 14 => lanes,
            (View::Planes, Some(_)) => 1,
            (View::Planes, None) => 1,
            (View::Rows, Some(_)) => places.next_power_of_two().min(lanes),
            (View::Rows, None) => places.next_power_of_two().min(32 / width).min(lanes),
        };
        if request.chunks == Some(0) {
            return impossible("at least 1 chunk", "0".into());
        }
        Ok(Self {
            software: machine.software.is_some(),
            work,
            view,
            width,
            lanes,
            columns,
            total: total as u32,
            places,
            chunks: request.chunks,
            elements: shape.elements(),
            more_lanes: Some(512)
                .filter(|&more| request.lanes.is_none() && lanes < more && more <= max_lanes),
        })
    }

    /// Invocations that share a chunk's loads.
    fn walkers(&self) -> u32 {
        self.lanes / self.columns
    }

    fn blocks(&self) -> u32 {
        self.places.div_ceil(self.columns)
    }

    fn grid(&self, chunks: u32) -> Grid {
        // Whole turns of the workgroup, so that only the last chunk has idle invocations.
        let chunk = self.total.div_ceil(chunks).next_multiple_of(self.walkers());
        let chunks = self.total.div_ceil(chunk);
        let Self { view, width, lanes, columns, total, .. } = *self;
        Grid { view, width, lanes, columns, held: 0, chunks, chunk, total, groups: self.blocks() * chunks }
    }

    /// The grid of the held path, if registers have room for a feature (planes) or block of columns (rows). Its loads
    /// are those of GPUs.
    fn held(&self) -> Option<Grid> {
        if self.width > 4 || self.chunks.is_some_and(|chunks| chunks > 1) {
            return None;
        }
        let columns = if self.view == View::Planes { 1 } else { self.columns };
        let lanes = [Some(self.lanes), self.more_lanes].into_iter().flatten();
        lanes.flat_map(|lanes| HELD.map(|held| (lanes, held))).find_map(|(lanes, held)| {
            let registers = lanes * (held * self.width * self.work.inputs() as u32 + REGISTERS_FOR_THE_REST);
            let grid = Self { lanes, columns, ..*self }.grid(1);
            (grid.loads() <= held.into() && registers <= REGISTERS).then_some(Grid { held, ..grid })
        })
    }

    /// Iterations of all loops of one invocation.
    fn iterations(&self, grid: &Grid) -> u64 {
        let loads = grid.loads();
        match self.work {
            Work::Evaluation => loads,
            // Segments and blocks count too, and the first segment is read once more.
            Work::Training | Work::Backward { .. } => 2 * loads + loads / 8 + 128,
        }
    }

    /// Chunks so that there are about `groups` workgroups of at least `loads` loads an invocation, and none has more
    /// iterations than allowed.
    fn chunks(&self, groups: u32, loads: u32) -> u32 {
        if let Some(chunks) = self.chunks {
            return chunks.min(self.total).max(self.needed_chunks());
        }
        let turns = self.total.div_ceil(self.walkers());
        let wanted = groups.div_ceil(self.blocks()).min(turns.div_ceil(loads)).max(1);
        wanted.max(self.needed_chunks())
    }

    /// The fewest chunks that keep every invocation within its iterations.
    fn needed_chunks(&self) -> u32 {
        (3 * u64::from(self.total.div_ceil(self.walkers()))).div_ceil(MAX_ITERATIONS) as u32
    }

    fn reduce_chunks(&self) -> u32 {
        if self.software { self.chunks(16, 64) } else { self.chunks(2048, 4) }
    }

    fn apply_chunks(&self) -> u32 {
        if self.software { self.chunks(64, 64) } else { self.chunks(8192, 4) }
    }

    fn prefers_resident(&self, whole: &Grid) -> bool {
        if self.software {
            // Work for both cores, in fair shares, or too little to pay for two more dispatches; and not so many rows
            // that they leave the cache before they are read again.
            let stays = self.view == View::Planes || whole.loads() <= 256;
            (self.blocks() >= 8 && stays) || self.elements <= 1 << 17
        } else {
            whole.loads() <= 16 || (self.blocks() >= 128 && whole.loads() <= 64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu() -> Machine {
        Machine {
            software: None,
            max_lanes: 256,
            max_workgroup_bytes: 16384,
            max_workgroups: 65535,
            max_binding: 128 << 20,
            alignment: 256,
        }
    }

    fn plan(work: Work, shape: Shape) -> Plan {
        Plan::new(&gpu(), work, shape, PlanRequest::default()).unwrap()
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
            let machine = Machine { max_lanes: lanes, ..gpu() };
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
        for machine in [gpu(), Machine { software: Some(8), ..gpu() }, Machine { software: Some(4), ..gpu() }]
        {
            for count in [1u32, 65_535, 65_536, 2_000_003, 1 << 24, 1 << 31] {
                for shape in [Shape::rows(count, 1), Shape::channels_first(1, 1, &[count])] {
                    for work in
                        [Work::Training, Work::Evaluation, Work::Backward { reduce: true, apply: true }]
                    {
                        let frame = Frame::new(&machine, work, shape, PlanRequest::default()).unwrap();
                        let plan = Plan::new(&machine, work, shape, PlanRequest::default()).unwrap();
                        assert!(u64::from(plan.merge.chunks) <= MAX_ITERATIONS, "{plan}");
                        for grid in [plan.first, plan.second] {
                            assert!(frame.iterations(&grid) <= 65_535, "{plan}: {grid:?}");
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
    fn chunks_reach_little_past_the_end() {
        for total in [u32::MAX - (1 << 24), 4_000_000_007, 1 << 31, 1_000_003] {
            for lanes in [1, 8, 256, 1024] {
                for chunks in [2, 3, 1000, 65_000, total / 2, total - 1] {
                    let request = PlanRequest {
                        width: Some(1),
                        lanes: Some(lanes),
                        chunks: Some(chunks),
                        ..Default::default()
                    };
                    let machine = Machine { max_lanes: 1024, ..gpu() };
                    let frame =
                        Frame::new(&machine, Work::Evaluation, Shape::rows(total, 1), request).unwrap();
                    let grid = frame.grid(frame.apply_chunks());
                    let reach = u64::from(grid.chunks) * u64::from(grid.chunk) + u64::from(grid.lanes);
                    assert!(reach < u64::from(total) + (1 << 22), "{total} {lanes} {chunks}: {grid:?}");
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
