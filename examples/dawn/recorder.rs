//! From prepared steps to a case of the script.

use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{DispatchBinding, DispatchDescription, StorageType, wgpu};

use crate::script::{Binding, Buffer, Case, Dispatch, Expectation, Measure, Script};

/// Collects one case. Buffers enter with what they contain when a dispatch first binds them.
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    script: &'a mut Script,
    case: Case,
    /// Of the case's buffers, but for parameters, each with its name.
    handles: Vec<(wgpu::Buffer, String)>,
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
        self.expect_stored(what, at, StorageType::Float32, values, scales, tolerance);
    }

    /// Values stored so that must be near these, half a unit of their last place aside.
    pub fn expect_stored(
        &mut self,
        what: &'static str,
        at: &wgpu::BufferBinding<'_>,
        storage: StorageType,
        values: &[f64],
        scales: Vec<f64>,
        tolerance: f64,
    ) {
        let measure = Some(Measure { storage: storage.to_string(), scales, tolerance });
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
        let buffer = self.name(at.buffer);
        self.case.expectations.push(Expectation { what, buffer, offset: at.offset, count, data, measure });
    }

    fn binding(&mut self, binding: &DispatchBinding) -> Binding {
        let DispatchBinding { group, binding, buffer, offset, size, uniform } = binding;
        let (group, binding, size) = (*group, *binding, *size);
        if uniform.is_empty() {
            return Binding {
                group,
                binding,
                buffer: self.name(buffer),
                offset: *offset,
                size,
                kind: "storage",
            };
        }
        // Parameters cannot be read back, and dispatches find theirs in one buffer: here each has one of its own.
        let buffer = self.add(size, uniform);
        Binding { group, binding, buffer, offset: 0, size, kind: "uniform" }
    }

    /// The name of a buffer in the case, which it is added to if need be.
    fn name(&mut self, handle: &wgpu::Buffer) -> String {
        if let Some((_, name)) = self.handles.iter().find(|(other, _)| other == handle) {
            return name.clone();
        }
        let contents = match handle.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            true => self.gpu.download(handle).expect("the device works"),
            // Scratch, of which every step writes what it reads.
            false => Vec::new(),
        };
        let name = self.add(handle.size(), bytemuck::cast_slice(&contents));
        self.handles.push((handle.clone(), name.clone()));
        name
    }

    /// Adds a buffer to the case, zero or with contents.
    fn add(&mut self, size: u64, contents: &[u8]) -> String {
        let data = contents.iter().any(|byte| *byte != 0).then(|| self.script.data(contents));
        let name = format!("buffer {}", self.case.buffers.len());
        self.case.buffers.push(Buffer { name: name.clone(), size, data });
        name
    }
}
