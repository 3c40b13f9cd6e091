//! From prepared steps to a case of the script.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{DispatchBinding, DispatchDescription, wgpu};

use crate::script::{Binding, Buffer, Case, Dispatch, Expectation, Measure, Script};

/// Collects one case. Buffers enter with what they contain when a dispatch first binds them.
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    script: &'a mut Script,
    case: Case,
    /// Of the case's buffers, in their order.
    handles: Vec<wgpu::Buffer>,
}

impl<'a> Recorder<'a> {
    pub fn new(gpu: &'a Gpu, script: &'a mut Script, name: String) -> Self {
        Self { gpu, script, case: Case { name, ..Default::default() }, handles: Vec::new() }
    }

    pub fn dispatch(&mut self, dispatches: Vec<DispatchDescription>) {
        for DispatchDescription { label, source, entry, constants, workgroups, bindings } in dispatches {
            let shader = self.script.shader(&label, source);
            let bindings = bindings.iter().map(|binding| self.binding(binding)).collect();
            let constants = constants.into_iter().collect();
            self.case.dispatches.push(Dispatch { label, shader, entry, constants, workgroups, bindings });
        }
    }

    /// Float32 that must be near these values.
    pub fn expect(
        &mut self,
        what: &'static str,
        at: &wgpu::BufferBinding<'_>,
        values: &[f64],
        scales: Vec<f64>,
        tolerance: f64,
    ) {
        let measure = Some(Measure { scales, tolerance });
        self.add_expectation(what, at, values.len(), bytemuck::cast_slice(values), measure);
    }

    /// u32 that must be these.
    pub fn expect_exactly(&mut self, what: &'static str, at: &wgpu::BufferBinding<'_>, values: &[u32]) {
        self.add_expectation(what, at, values.len(), bytemuck::cast_slice(values), None);
    }

    pub fn finish(self) {
        self.script.add(self.case);
    }

    fn add_expectation(
        &mut self,
        what: &'static str,
        at: &wgpu::BufferBinding<'_>,
        count: usize,
        values: &[u8],
        measure: Option<Measure>,
    ) {
        let data = self.script.data(values);
        let buffer = self.name(at.buffer, &[]);
        self.case.expectations.push(Expectation { what, buffer, offset: at.offset, count, data, measure });
    }

    fn binding(&mut self, binding: &DispatchBinding) -> Binding {
        let DispatchBinding { group, binding, buffer, offset, size, uniform } = binding;
        Binding {
            group: *group,
            binding: *binding,
            buffer: self.name(buffer, uniform),
            offset: *offset,
            size: *size,
            kind: if uniform.is_empty() { "storage" } else { "uniform" },
        }
    }

    /// The name of a buffer in the case, which it is added to if need be.
    fn name(&mut self, handle: &wgpu::Buffer, uniform: &[u8]) -> String {
        if let Some(known) = self.handles.iter().position(|other| other == handle) {
            return self.case.buffers[known].name.clone();
        }
        let contents = match uniform {
            // Scratch cannot be read, and is zero before the first step.
            [] if !handle.usage().contains(wgpu::BufferUsages::COPY_SRC) => Vec::new(),
            [] => bytemuck::cast_slice(&self.gpu.download(handle).unwrap()).to_vec(),
            bytes => bytes.to_vec(),
        };
        let data = contents.iter().any(|byte| *byte != 0).then(|| self.script.data(&contents));
        let name = format!("buffer {}", self.handles.len());
        self.case.buffers.push(Buffer { name: name.clone(), size: handle.size(), data });
        self.handles.push(handle.clone());
        name
    }
}
