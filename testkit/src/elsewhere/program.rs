//! Dispatches as data: on numbered buffers, with what these contain before.

use std::collections::BTreeMap;

use serde::Serialize;
use wgpu_batchnorm::headless::Gpu;
use wgpu_batchnorm::{
    BackwardStep, DispatchBinding, DispatchDescription, FinalizeGradientsStep, FinalizeStep, ForwardStep,
    MomentsStep, Step, wgpu,
};

use crate::buffers::{download, whole};

/// A step whose dispatches can be had as data.
pub trait Recorded: Step {
    fn dispatches(&self) -> Vec<DispatchDescription>;
}

macro_rules! recorded {
    ($($step:ty),*) => {
        $(impl Recorded for $step {
            fn dispatches(&self) -> Vec<DispatchDescription> {
                self.dispatches()
            }
        })*
    };
}

recorded!(ForwardStep, BackwardStep, MomentsStep, FinalizeStep, FinalizeGradientsStep);

/// Dispatches in order, and the buffers that they bind.
pub struct Program<'a> {
    gpu: &'a Gpu,
    pub buffers: Vec<Buffer>,
    pub dispatches: Vec<Dispatch>,
}

pub struct Buffer {
    /// The device's buffer, but of parameters.
    pub handle: Option<wgpu::Buffer>,
    pub size: u64,
    /// What it contains before the dispatches; nothing where it is scratch, of which every step writes what it reads.
    pub contents: Vec<u8>,
}

#[derive(Serialize)]
pub struct Dispatch {
    pub label: String,
    /// The source, or where it is to be found.
    pub shader: String,
    pub entry: &'static str,
    pub constants: BTreeMap<&'static str, f64>,
    pub workgroups: [u32; 3],
    pub bindings: Vec<Binding>,
}

#[derive(Serialize)]
pub struct Binding {
    pub group: u32,
    pub binding: u32,
    /// Which of the buffers.
    pub buffer: usize,
    pub offset: u64,
    pub size: u64,
    /// `uniform` or `storage`.
    pub kind: &'static str,
}

impl<'a> Program<'a> {
    pub fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, buffers: Vec::new(), dispatches: Vec::new() }
    }

    /// Adds dispatches, and the buffers that they are the first to bind, with what these contain now. `shader` makes of a
    /// shader's name and source what stands for it.
    pub fn add(
        &mut self,
        dispatches: Vec<DispatchDescription>,
        mut shader: impl FnMut(&str, String) -> String,
    ) {
        for DispatchDescription { label, source, entry, constants, workgroups, bindings } in dispatches {
            let shader = shader(&label, source);
            let bindings = bindings.iter().map(|binding| self.binding(binding)).collect();
            let constants = constants.into_iter().collect();
            self.dispatches.push(Dispatch { label, shader, entry, constants, workgroups, bindings });
        }
    }

    fn binding(&mut self, binding: &DispatchBinding) -> Binding {
        let DispatchBinding { group, binding, buffer, offset, size, uniform } = binding;
        let (group, binding, size) = (*group, *binding, *size);
        if uniform.is_empty() {
            let buffer = self.buffer(buffer);
            return Binding { group, binding, buffer, offset: *offset, size, kind: "storage" };
        }
        // Parameters cannot be read back, and dispatches find theirs in one buffer: here each has one of its own.
        self.buffers.push(Buffer { handle: None, size, contents: uniform.clone() });
        Binding { group, binding, buffer: self.buffers.len() - 1, offset: 0, size, kind: "uniform" }
    }

    /// The number of a buffer, which is added if need be.
    pub fn buffer(&mut self, handle: &wgpu::Buffer) -> usize {
        let known = self.buffers.iter().position(|buffer| buffer.handle.as_ref() == Some(handle));
        known.unwrap_or_else(|| {
            let contents = match handle.usage().contains(wgpu::BufferUsages::COPY_SRC) {
                true => download(&self.gpu.device, &self.gpu.queue, whole(handle)),
                false => Vec::new(),
            };
            self.buffers.push(Buffer { handle: Some(handle.clone()), size: handle.size(), contents });
            self.buffers.len() - 1
        })
    }
}
