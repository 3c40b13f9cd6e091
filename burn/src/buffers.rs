//! burn's buffers as bindings.

use burn_cubecl::tensor::CubeTensor;
use cubecl::wgpu::{AutoCompiler, WgpuResource, WgpuServer};
use cubecl_runtime::storage::ManagedResource;
use wgpu_batchnorm::wgpu;

/// Where a tensor is. As long as this lives, burn leaves it there: hold it until its work is submitted, and ask anew for
/// each step.
pub struct Resource(ManagedResource<WgpuResource>);

impl Resource {
    /// Submits what burn has queued of the tensor, too.
    pub fn of(tensor: &CubeTensor) -> Self {
        let resource = tensor.client.get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone());
        Self(
            resource
                .unwrap_or_else(|error| panic!("a tensor of burn's wgpu backend has a buffer: {error:?}")),
        )
    }

    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        let WgpuResource { buffer, offset, size, .. } = self.0.resource();
        // burn's ranges are padded to its alignment; an odd number of 16-bit values ends within a word.
        let size = size.next_multiple_of(4);
        wgpu::BufferBinding { buffer, offset: *offset, size: std::num::NonZeroU64::new(size) }
    }
}
