//! From prepared steps to a case of the script.

use testkit::elsewhere::{self, Program};
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{DispatchDescription, StorageType, wgpu};

use crate::script::{Buffer, Case, Expectation, Measure, Script};

/// Collects one case.
pub struct Recorder<'a> {
    script: &'a mut Script,
    name: String,
    program: Program<'a>,
    expectations: Vec<Expectation>,
}

impl<'a> Recorder<'a> {
    pub fn new(gpu: &'a Gpu, script: &'a mut Script, name: String) -> Self {
        Self { script, name, program: Program::new(gpu), expectations: Vec::new() }
    }

    pub fn dispatch(&mut self, dispatches: Vec<DispatchDescription>) {
        self.program.add(dispatches, |label, source| self.script.shader(label, source));
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
        let Self { script, name, program: Program { buffers, dispatches, .. }, expectations } = self;
        let listed = |elsewhere::Buffer { size, contents, .. }| Buffer {
            size,
            data: contents.iter().any(|byte| *byte != 0).then(|| script.data(&contents)),
        };
        let buffers = buffers.into_iter().map(listed).collect();
        script.add(Case { name, buffers, dispatches, expectations });
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
        let buffer = self.program.buffer(at.buffer);
        self.expectations.push(Expectation { what, buffer, offset: at.offset, count, data, measure });
    }
}
