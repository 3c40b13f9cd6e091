//! The roof: the fastest kernel that only copies a tensor on the same device, found by trying.

use std::cell::RefCell;
use std::collections::HashMap;

use testkit::gpu::whole;
use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu;

use crate::device::Device;

/// Reads and writes of the tensor by a copy.
pub const TENSORS_COPIED: u64 = 2;

/// One way to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Values of a load: 4 or 16.
    packet: u32,
    /// Invocations of a workgroup.
    workgroup: u32,
    /// Loads of an invocation; 1 is a kernel without a loop.
    loads: u32,
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "packet={} workgroup={} loads={}", self.packet, self.workgroup, self.loads)
    }
}

impl Kernel {
    fn candidates(floats: u64) -> impl Iterator<Item = Kernel> {
        let packets = [4u32, 16].into_iter().filter(move |&packet| floats.is_multiple_of(packet.into()));
        packets
            .flat_map(|packet| [8, 64, 256].map(|workgroup| (packet, workgroup)))
            .flat_map(|(packet, workgroup)| [1, 4, 64, 1024].map(|loads| Kernel { packet, workgroup, loads }))
            // A loop that one workgroup would not finish is another's candidate.
            .filter(move |k| k.loads == 1 || u64::from(k.packet * k.workgroup * k.loads) <= floats)
    }

    fn workgroups(&self, floats: u64, limit: u32) -> [u32; 2] {
        let groups = floats.div_ceil(u64::from(self.packet * self.workgroup * self.loads)) as u32;
        let x = groups.min(limit);
        [x, groups.div_ceil(x)]
    }
}

/// The kernels on a device, each built once.
pub struct Roof<'a> {
    device: &'a Device,
    pipelines: RefCell<HashMap<Kernel, wgpu::ComputePipeline>>,
}

impl<'a> Roof<'a> {
    pub fn new(device: &'a Device) -> Self {
        Self { device, pipelines: RefCell::default() }
    }

    fn pipeline(&self, kernel: Kernel) -> wgpu::ComputePipeline {
        self.pipelines.borrow_mut().entry(kernel).or_insert_with(|| self.build(kernel)).clone()
    }

    fn build(&self, kernel: Kernel) -> wgpu::ComputePipeline {
        let device = &self.device.gpu.device;
        let value = if kernel.packet == 16 { "mat4x4<f32>" } else { "vec4<f32>" };
        let source = format!("alias Value = {value};\n{}", include_str!("../shaders/copy.wgsl"));
        let shader =
            wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(source.into()) };
        // SAFETY: every index is below the length of y, and x is bound as long; the loop ends there.
        let module =
            unsafe { device.create_shader_module_trusted(shader, wgpu::ShaderRuntimeChecks::unchecked()) };
        let entry_point = if kernel.loads == 1 { "copy_one" } else { "copy_many" };
        let constants = [("WORKGROUP", kernel.workgroup.into()), ("LOADS", kernel.loads.into())];
        testkit::kernel::pipeline(device, &module, entry_point, &constants)
    }

    /// The kernel, bound to these pairs of tensors.
    fn bind(&self, kernel: Kernel, tensors: &[(&wgpu::Buffer, &wgpu::Buffer)]) -> Copies {
        let device = &self.device.gpu.device;
        let pipeline = self.pipeline(kernel);
        let limit = device.limits().max_compute_workgroups_per_dimension;
        let workgroups = kernel.workgroups(tensors[0].0.size() / 4, limit);
        let bind =
            |&(x, y): &(_, _)| Dispatch::new(device, &pipeline, [(0, whole(x)), (1, whole(y))], workgroups);
        Copies { kernel, dispatches: tensors.iter().map(bind).collect() }
    }

    /// The fastest kernel for these pairs of tensors, by `rounds` rounds over all candidates.
    pub fn best(&self, tensors: &[(&wgpu::Buffer, &wgpu::Buffer)], rounds: u32) -> Copies {
        let copies: Vec<Copies> =
            Kernel::candidates(tensors[0].0.size() / 4).map(|kernel| self.bind(kernel, tensors)).collect();
        let time = |copies: &Copies, iterations| {
            self.device.time_passes(iterations, &|pass, i| copies.record(pass, i))
        };
        let mut best = vec![f64::INFINITY; copies.len()];
        for _ in 0..rounds {
            for (best, copies) in best.iter_mut().zip(&copies) {
                // About a millisecond each, so that small tensors are not judged by a single submission.
                let once = time(copies, 1).as_secs_f64();
                let iterations = (1e-3 / once).clamp(1.0, 100.0) as u64;
                *best = best.min(time(copies, iterations).as_secs_f64() / iterations as f64);
            }
        }
        let fastest = copies.into_iter().zip(best).min_by(|a, b| a.1.total_cmp(&b.1));
        fastest.expect("tensors in the list are a multiple of 4 long").0
    }
}

/// Copies of a tensor, ready to be recorded.
pub struct Copies {
    pub kernel: Kernel,
    dispatches: Vec<Dispatch>,
}

impl Copies {
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, iteration: u64) {
        self.dispatches[iteration as usize % self.dispatches.len()].record(pass);
    }
}
