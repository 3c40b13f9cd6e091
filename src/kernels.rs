//! The kernels: which shader files each one is made of, and its pipeline on a device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::grid::{Grid, HELD};
use crate::machine::Machine;
use crate::plan::View;

/// The kernels, each in the shader file of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    Stats,
    Finalize,
    Normalize,
    Evaluate,
    Resident,
    Held,
    BackwardReduce,
    BackwardFinalize,
    BackwardApply,
    BackwardResident,
    BackwardHeld,
    BackwardFrozen,
}

/// How a kernel's tensors lie in the caller's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tensors {
    /// What is written is in buffers of its own.
    Separate,
    /// What is written is in another range of a buffer that is read.
    Shared,
    /// The output takes the place of the (gradient) input.
    InPlace,
}

/// One shader: a kernel for one view, width and arrangement of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub kernel: Kernel,
    pub view: View,
    pub width: u32,
    /// Values that an invocation holds, for kernels that do.
    pub held: u32,
    pub tensors: Tensors,
}

macro_rules! files {
    ($($name:literal)*) => {
        [$(include_str!(concat!("../shaders/", $name, ".wgsl"))),*].as_slice()
    };
}

impl Kernel {
    const ALL: [Kernel; 12] = [
        Kernel::Stats,
        Kernel::Finalize,
        Kernel::Normalize,
        Kernel::Evaluate,
        Kernel::Resident,
        Kernel::Held,
        Kernel::BackwardReduce,
        Kernel::BackwardFinalize,
        Kernel::BackwardApply,
        Kernel::BackwardResident,
        Kernel::BackwardHeld,
        Kernel::BackwardFrozen,
    ];

    /// Name of the entry point.
    pub fn entry(self) -> &'static str {
        match self {
            Kernel::Stats => "stats",
            Kernel::Finalize => "finalize",
            // `normalize` is a built-in function of WGSL.
            Kernel::Normalize => "normalize_tensor",
            Kernel::Evaluate => "evaluate",
            Kernel::Resident => "resident",
            Kernel::Held => "held",
            Kernel::BackwardReduce => "backward_reduce",
            Kernel::BackwardFinalize => "backward_finalize",
            Kernel::BackwardApply => "backward_apply",
            Kernel::BackwardResident => "backward_resident",
            Kernel::BackwardHeld => "backward_held",
            Kernel::BackwardFrozen => "backward_frozen",
        }
    }

    /// Whether it merges what was reduced and sees no tensor: no view.
    fn merges(self) -> bool {
        matches!(self, Kernel::Finalize | Kernel::BackwardFinalize)
    }

    /// Whether it writes a tensor.
    fn writes(self) -> bool {
        !self.merges() && !matches!(self, Kernel::Stats | Kernel::BackwardReduce)
    }

    /// Whether it keeps all that it reads.
    fn holds(self) -> bool {
        matches!(self, Kernel::Held | Kernel::BackwardHeld)
    }

    /// The kernel's own file and the shared pieces it stands on.
    fn files(self) -> &'static [&'static str] {
        match self {
            Kernel::Stats => files!("moments" "reduce" "accumulate" "stats"),
            Kernel::Finalize => files!("moments" "reduce" "keep" "finish" "finalize"),
            Kernel::Normalize => files!("affine" "apply" "normalize"),
            Kernel::Evaluate => files!("keep" "affine" "apply" "evaluate"),
            Kernel::Resident => {
                files!("moments" "reduce" "accumulate" "keep" "finish" "affine" "apply" "resident")
            }
            Kernel::Held => {
                files!("hold" "moments" "reduce" "held_moments" "keep" "finish" "affine" "held")
            }
            Kernel::BackwardReduce => files!(
                "standardize" "gradient_sums" "reduce" "gradient_accumulate" "backward_reduce"
            ),
            Kernel::BackwardFinalize => {
                files!("gradient_sums" "reduce" "gradient_finish" "backward_finalize")
            }
            Kernel::BackwardApply => {
                files!("standardize" "gradient_sums" "gradient" "gradient_apply" "backward_apply")
            }
            Kernel::BackwardResident => files!(
                "standardize" "gradient_sums" "reduce" "gradient_accumulate" "gradient_finish"
                "gradient" "gradient_apply" "backward_resident"
            ),
            Kernel::BackwardFrozen => files!("affine" "apply" "backward_frozen"),
            Kernel::BackwardHeld => {
                files!("hold" "standardize" "gradient_sums" "reduce" "gradient_finish" "gradient" "backward_held")
            }
        }
    }
}

impl Variant {
    /// The variant of a kernel for a grid and tensors like these, with what makes no difference to it left out.
    pub fn new(kernel: Kernel, grid: &Grid, tensors: Tensors) -> Self {
        Self {
            kernel,
            view: if kernel.merges() { View::Rows } else { grid.view },
            width: grid.width,
            held: if kernel.holds() { grid.held } else { 0 },
            tensors: if kernel.writes() { tensors } else { Tensors::Separate },
        }
    }

    /// Every shader there is.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for kernel in Kernel::ALL {
            for view in [View::Planes, View::Rows] {
                for width in [1, 4, 16] {
                    for held in HELD {
                        for tensors in [Tensors::Separate, Tensors::Shared, Tensors::InPlace] {
                            let grid = Grid { view, width, held, ..Grid::NONE };
                            let variant = Self::new(kernel, &grid, tensors);
                            if !(all.contains(&variant)) {
                                all.push(variant);
                            }
                        }
                    }
                }
            }
        }
        all
    }

    pub fn name(&self) -> String {
        let Self { kernel, view, width, held, tensors } = self;
        let mut name = kernel.entry().to_owned();
        if !kernel.merges() {
            name += &format!("_{view:?}").to_lowercase();
        }
        name += &format!("_x{width}");
        if kernel.holds() {
            name += &format!("_held_{held}");
        }
        if kernel.writes() {
            name += match tensors {
                Tensors::Separate => "_separate",
                Tensors::Shared => "_shared",
                Tensors::InPlace => "_in_place",
            };
        }
        name
    }

    /// The shader: its files, one after the other.
    pub fn source(&self) -> String {
        let value = match self.width {
            4 => files!("value_x4"),
            16 => files!("value_x16"),
            _ => files!("value_x1"),
        };
        let view = match self.view {
            View::Planes => files!("stat_scalar" "blocks" "view_planes"),
            View::Rows => files!("stat_value" "blocks" "view_rows"),
        };
        let tensors = match (self.kernel, self.tensors) {
            (Kernel::Stats, _) => files!("tensor_input"),
            (Kernel::BackwardReduce, _) => files!("gradients_input"),
            (Kernel::BackwardApply | Kernel::BackwardResident | Kernel::BackwardHeld, tensors) => {
                match tensors {
                    Tensors::Separate => files!("gradients_separate"),
                    Tensors::Shared => files!("gradients_shared"),
                    Tensors::InPlace => files!("gradients_in_place"),
                }
            }
            (_, Tensors::Separate) => files!("tensors_separate"),
            (_, Tensors::Shared) => files!("tensors_shared"),
            (_, Tensors::InPlace) => files!("tensors_in_place"),
        };
        let held = match self.held {
            4 => files!("held_x4"),
            8 => files!("held_x8"),
            16 => files!("held_x16"),
            _ => files!(),
        };
        let pieces = match self.kernel.merges() {
            true => vec![files!("params"), value, files!("stat_value" "vectors")],
            false => vec![files!("params"), value, view, files!("vectors"), tensors, held],
        };
        pieces.into_iter().chain([self.kernel.files()]).flatten().copied().collect::<Vec<_>>().join("\n")
    }
}

/// The name and full WGSL source of every shader that the layer may hand to a device: to validate, translate or read.
pub fn shaders() -> Vec<(String, String)> {
    Variant::all().iter().map(|variant| (variant.name(), variant.source())).collect()
}

/// What layers on one device share: the device, and pipelines, each built when a step is first prepared that needs it.
///
/// Cheap to clone; clones are the same context. Make one per device.
#[derive(Clone, Debug)]
pub struct Context(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    machine: Machine,
    runtime_checks: bool,
    pipelines: Mutex<HashMap<(Variant, u32, u32), wgpu::ComputePipeline>>,
}

impl Context {
    /// A context on the caller's device, which needs no feature and no limit beyond WebGPU's defaults.
    pub fn new(device: &wgpu::Device) -> Self {
        Self::with(device, Machine::of(device), false)
    }

    /// A context whose shaders keep wgpu's run-time checks: indices clamped to the buffers, loops counted.
    ///
    /// The layer does not need them (it validates every binding, and its plans bound every index and loop), and they
    /// cost time. On the web they are always there.
    pub fn with_runtime_checks(device: &wgpu::Device) -> Self {
        Self::with(device, Machine::of(device), true)
    }

    /// A context that plans for a GPU even where the adapter is a software one: to test those plans without a GPU.
    #[doc(hidden)]
    pub fn with_plans_of_a_gpu(device: &wgpu::Device) -> Self {
        Self::with(device, Machine::of(device).as_gpu(), false)
    }

    fn with(device: &wgpu::Device, machine: Machine, runtime_checks: bool) -> Self {
        Self(Arc::new(Shared {
            device: device.clone(),
            machine,
            runtime_checks,
            pipelines: Mutex::default(),
        }))
    }

    /// The caller's device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// Pipelines built so far: a network of many layers needs a handful.
    pub fn pipelines(&self) -> usize {
        self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.0.machine
    }

    /// The pipeline of a shader for workgroups like the grid's.
    pub(crate) fn pipeline(&self, variant: Variant, grid: &Grid) -> wgpu::ComputePipeline {
        let mut pipelines = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (variant, grid.lanes, grid.columns);
        pipelines.entry(key).or_insert_with(|| self.build(variant, grid)).clone()
    }

    #[expect(unsafe_code, reason = "shaders without run-time checks")]
    fn build(&self, variant: Variant, grid: &Grid) -> wgpu::ComputePipeline {
        let name = variant.name();
        let shader = wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(variant.source().into()),
        };
        let module = if self.0.runtime_checks {
            self.0.device.create_shader_module(shader)
        } else {
            // SAFETY: no index of the shader is out of range and every loop ends.
            // - Tensors: a `Walk` begins inside the tensor or with nothing left, and an invocation with n left is n
            //   steps from the end of its chunk; `prepare` binds exactly the tensor's bytes, which the width divides
            //   (`Frame::all`). Sums stay below 2³²: see `MAX_ELEMENTS` of shape.rs.
            // - Vectors of C values (state, batches, record, means, partials, gradients): indexed by a place that is
            //   compared with or clamped to params.places, in a vector that the layer allocates, or of the caller's
            //   buffers that `prepare` validates; the width divides C and the stride. No binding holds more than
            //   2³² float32 (`Machine::of`), so that no index into one overflows.
            // - Groups of a dispatch beyond params.groups return at once.
            // - Held values: indexed by i < HELD.
            // - Workgroup memory: indexed by lane < LANES, and lane + half < 2 · half ≤ LANES.
            // - Loops count up to `left`, `HELD`, `SEGMENT`, `SEGMENTS` or `chunks`, or halve LANES down to COLUMNS ≥ 1.
            // tests/gpu/checks.rs compares both kinds of shader.
            unsafe {
                self.0.device.create_shader_module_trusted(shader, wgpu::ShaderRuntimeChecks::unchecked())
            }
        };
        self.0.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: None,
            module: &module,
            entry_point: Some(variant.kernel.entry()),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &grid.constants(),
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    }
}
