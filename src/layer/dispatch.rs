//! Prepared dispatches as data, so that a test can run them on a WebGPU other than wgpu.

/// One dispatch of a prepared step: all that is needed to make the same dispatch elsewhere. Not part of the API.
#[derive(Debug, Clone)]
pub struct DispatchDescription {
    /// The shader's name among [`shaders`](crate::shaders).
    pub label: String,
    /// Its full WGSL source.
    pub source: String,
    /// Its entry point.
    pub entry: &'static str,
    /// Values of the overrides.
    pub constants: Vec<(&'static str, f64)>,
    /// Workgroups in each dimension.
    pub workgroups: [u32; 3],
    /// What is bound.
    pub bindings: Vec<DispatchBinding>,
}

/// A range of a buffer as a dispatch binds it. Not part of the API.
#[derive(Debug, Clone)]
pub struct DispatchBinding {
    /// Number of the bind group.
    pub group: u32,
    /// Number of the binding in its group.
    pub binding: u32,
    /// The buffer; equal handles are the same buffer.
    pub buffer: wgpu::Buffer,
    /// First byte of the range.
    pub offset: u64,
    /// Bytes of the range.
    pub size: u64,
    /// What a uniform holds, which cannot be read back from the device; empty for storage.
    pub uniform: Vec<u8>,
}

impl DispatchBinding {
    pub(crate) fn new((group, binding): (u32, u32), range: &wgpu::BufferBinding<'_>, uniform: &[u8]) -> Self {
        let wgpu::BufferBinding { buffer, offset, size } = *range;
        Self {
            group,
            binding,
            buffer: buffer.clone(),
            offset,
            size: size.map_or(buffer.size() - offset, Into::into),
            uniform: uniform.to_vec(),
        }
    }
}
