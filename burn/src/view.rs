//! How a tensor of burn's lies in memory, as the layer sees it.

use burn::backend::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use wgpu_batchnorm::{Shape, StorageType};

/// Which axis is the innermost in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The last one: (N, C, ..) in a row.
    FeaturesFirst,
    /// The features: a view of (N, .., C), as `Tensor::movedim` gives one.
    FeaturesLast,
}

/// A tensor (N, C, ..) without gaps, at an offset that can be bound.
pub struct View {
    pub tensor: CubeTensor,
    pub layout: Layout,
}

impl View {
    /// The tensor as it lies in memory where that is one of the layouts; otherwise a copy.
    pub fn of(tensor: CubeTensor, alignment: u64) -> Self {
        let tensor = aligned(tensor, alignment);
        let last = permute_nchw_to_nhwc(tensor.clone()).is_contiguous();
        match last && !tensor.is_contiguous() {
            true => Self { tensor, layout: Layout::FeaturesLast },
            false => Self { tensor: into_contiguous(tensor), layout: Layout::FeaturesFirst },
        }
    }

    /// The tensor in this layout: as it is where it has it, otherwise a copy.
    pub fn in_layout(tensor: CubeTensor, layout: Layout, alignment: u64) -> Self {
        let contiguous = |tensor| aligned(into_contiguous(tensor), alignment);
        let tensor = match layout {
            Layout::FeaturesFirst => contiguous(tensor),
            Layout::FeaturesLast => permute_nhwc_to_nchw(contiguous(permute_nchw_to_nhwc(tensor))),
        };
        Self { tensor, layout }
    }

    /// A new tensor like this one.
    pub fn empty_like(&self) -> CubeTensor {
        let CubeTensor { client, device, meta, dtype, .. } = &self.tensor;
        let handle = client.empty(meta.num_elements() * dtype.size());
        CubeTensor::new(client.clone(), handle, *meta.clone(), device.clone(), *dtype)
    }

    /// The shape as the layer has it; all spatial axes count as one.
    pub fn shape(&self) -> Shape {
        let axes = self.tensor.meta.shape();
        let axis = |length: usize| u32::try_from(length).expect("an axis has fewer than 2³² positions");
        let (batch, features) = (axis(axes[0]), axis(axes[1]));
        let positions = axis(axes.iter().skip(2).product());
        let spatial = if axes.num_dims() == 2 { vec![] } else { vec![positions] };
        match self.layout {
            Layout::FeaturesFirst => Shape::channels_first(batch, features, &spatial),
            Layout::FeaturesLast => Shape::channels_last(batch, &spatial, features),
        }
    }

    pub fn storage(&self) -> StorageType {
        match self.tensor.dtype {
            DType::F32 => StorageType::Float32,
            DType::F16 => StorageType::Float16,
            DType::BF16 => StorageType::BFloat16,
            other => panic!("batch norm takes float32, float16 or bfloat16, given {other:?}: cast the input"),
        }
    }
}

/// A new vector of float32 beside a tensor.
pub fn empty_vector(beside: &CubeTensor, len: usize) -> CubeTensor {
    let handle = beside.client.empty(len * size_of::<f32>());
    CubeTensor::new_contiguous(beside.client.clone(), beside.device.clone(), [len].into(), handle, DType::F32)
}

/// A vector that can be bound.
pub fn vector(tensor: CubeTensor, alignment: u64) -> CubeTensor {
    let dtype = tensor.dtype;
    assert!(dtype == DType::F32, "the vectors of batch norm are float32, given {dtype:?}: keep them uncast");
    aligned(into_contiguous(tensor), alignment)
}

/// The tensor, or a copy where a view of a larger one begins at an offset that cannot be bound.
fn aligned(tensor: CubeTensor, alignment: u64) -> CubeTensor {
    let offset = tensor.handle.offset_start.unwrap_or(0);
    if offset.is_multiple_of(alignment) { tensor } else { tensor.copy() }
}
