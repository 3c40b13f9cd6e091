//! What the device's compiler takes for each shader: this process's time on processors until the end of the first dispatch
//! of its pipeline, since some drivers compile no sooner, less the second one's. No workgroup has work.

use comfy_table::{CellAlignment, Table, presets};
use cpu_time::ProcessTime;
use naga::AddressSpace;
use regex::Regex;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::wgpu;

/// Workgroup size and tile. Where they are the same, nothing is reduced.
const WORKGROUPS: [(u32, u32); 2] = [(8, 1), (8, 8)];
/// The slowest pipelines that are listed.
const LISTED: usize = 40;
const BYTES: u64 = 256;

/// Prints the slowest pipelines of those shaders whose names match, the least of `rounds` each. Shaders with a feature
/// that the device lacks are left out, and counted.
pub fn run(gpu: &Gpu, names: &Regex, rounds: usize) {
    let buffers = Buffers::new(gpu);
    let half = gpu.device.features().contains(wgpu::Features::SHADER_F16);
    let named = wgpu_batchnorm::shaders().into_iter().filter(|(name, _)| names.is_match(name));
    let (shaders, beyond): (Vec<_>, Vec<_>) =
        named.partition(|(_, source)| half || !source.contains("enable f16;"));
    if !beyond.is_empty() {
        println!("Left out: {} shaders that need SHADER_F16", beyond.len());
    }
    let mut pipelines = Vec::new();
    for (name, source) in shaders {
        for (workgroup, tile) in WORKGROUPS {
            let shader = Shader { name: &name, source: &source, workgroup, tile };
            let times = (0..rounds.max(1)).map(|_| shader.compile(gpu, &buffers));
            let pipeline = format!("{name} workgroup={workgroup} tile={tile}");
            pipelines.push((times.fold(f64::MAX, f64::min), pipeline));
        }
    }
    pipelines.sort_by(|a, b| b.0.total_cmp(&a.0));
    let total: f64 = pipelines.iter().map(|(time, _)| time).sum();
    println!("{} pipelines, {total:.1} s in all", pipelines.len());
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["slowest", "s"]);
    for (time, pipeline) in pipelines.into_iter().take(LISTED) {
        table.add_row([pipeline, format!("{time:.3}")]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// Buffers of zeros, of each kind that a shader binds. Parameters of zeros say that no workgroup has work.
struct Buffers {
    uniform: wgpu::Buffer,
    read: wgpu::Buffer,
    written: wgpu::Buffer,
}

impl Buffers {
    fn new(gpu: &Gpu) -> Self {
        let buffer = |usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        let [read, written] = [wgpu::BufferUsages::STORAGE; 2].map(buffer);
        Self { uniform: buffer(wgpu::BufferUsages::UNIFORM), read, written }
    }

    fn of(&self, space: AddressSpace) -> &wgpu::Buffer {
        match space {
            AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => &self.written,
            AddressSpace::Storage { .. } => &self.read,
            _ => &self.uniform,
        }
    }
}

struct Shader<'a> {
    name: &'a str,
    source: &'a str,
    workgroup: u32,
    tile: u32,
}

impl Shader<'_> {
    /// Seconds of processors.
    fn compile(&self, gpu: &Gpu, buffers: &Buffers) -> f64 {
        let Self { name, source, workgroup, tile } = *self;
        let module = naga::front::wgsl::parse_str(source).expect("tests/shaders.rs validates every shader");
        let start = ProcessTime::now();
        let shader = wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        // SAFETY: every workgroup returns at once, since it is beyond params.groups, which is 0.
        let shader = unsafe {
            gpu.device.create_shader_module_trusted(shader, wgpu::ShaderRuntimeChecks::unchecked())
        };
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &shader,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("WORKGROUP", workgroup.into()), ("TILE", tile.into())],
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let groups = bind_groups(gpu, buffers, &module, &pipeline);
        let dispatch = || {
            let record = |pass: &mut wgpu::ComputePass<'_>| {
                pass.set_pipeline(&pipeline);
                for (i, group) in (0..).zip(&groups) {
                    pass.set_bind_group(i, group, &[]);
                }
                pass.dispatch_workgroups(1, 1, 1);
            };
            gpu.run(record).expect("the device works");
        };
        dispatch();
        let first = start.elapsed().as_secs_f64();
        let again = ProcessTime::now();
        dispatch();
        (first - again.elapsed().as_secs_f64()).max(0.0)
    }
}

/// A buffer for everything that the module binds.
fn bind_groups(
    gpu: &Gpu,
    buffers: &Buffers,
    module: &naga::Module,
    pipeline: &wgpu::ComputePipeline,
) -> Vec<wgpu::BindGroup> {
    let mut groups: Vec<Vec<wgpu::BindGroupEntry<'_>>> = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(naga::ResourceBinding { group, binding }) = variable.binding else { continue };
        let resource = buffers.of(variable.space).as_entire_binding();
        groups.resize(groups.len().max(group as usize + 1), Vec::new());
        groups[group as usize].push(wgpu::BindGroupEntry { binding, resource });
    }
    let bind_group = |(i, entries): (u32, &Vec<_>)| {
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(i),
            entries,
        })
    };
    (0..).zip(&groups).map(bind_group).collect()
}
