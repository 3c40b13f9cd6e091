use safetensors::Dtype;

use crate::layer::{LayerStateError, ReadError, TensorError};

/// Why a checkpoint could not be loaded. No layer has been changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is cut off before its header ends, or it is another kind of file.
    #[error(
        "not a safetensors file, or one that is cut off: the header needs {required} bytes, the file has {given}: \
         convert other files with Python's safetensors"
    )]
    HeaderLength {
        /// Bytes of the header, as the first 8 bytes say.
        required: u64,
        /// Bytes of the file.
        given: u64,
    },
    /// The header is no JSON object.
    #[error("not a safetensors file: the header is not valid JSON: {0}")]
    Header(String),
    /// The header's entry for a tensor makes no sense: an unknown type, a range out of the file, one that overlaps
    /// another or leaves a gap, or one of another size than the shape has.
    #[error("{tensor}: the file is damaged: {reason}")]
    Damaged {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// The file has bytes that are of no tensor.
    #[error("the file is damaged: its tensors end at byte {required} of the data, which has {given}")]
    Surplus {
        /// Where the tensors end.
        required: u64,
        /// Where the file ends.
        given: u64,
    },
    /// A tensor is of a type that cannot be read as what it is.
    #[error("{tensor} must be {required}, given {given}")]
    Dtype {
        /// The tensor's name.
        tensor: String,
        /// Types that can be read.
        required: &'static str,
        /// The tensor's type.
        given: Dtype,
    },
    /// A tensor has another shape than it should.
    #[error("{tensor} must have shape {required:?}, given {given:?}")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// The shape of what it is loaded for.
        required: Vec<usize>,
        /// The tensor's shape.
        given: Vec<usize>,
    },
    /// A float64 is too large for float32.
    #[error("{tensor}[{index}] must fit float32, given {given:e}")]
    Range {
        /// The tensor's name.
        tensor: String,
        /// Which value.
        index: usize,
        /// The value.
        given: f64,
    },
    /// The file has a tensor that the layer was made without.
    #[error("{tensor} is in the file, but the layer was made without it: change the layer's descriptor")]
    Unexpected {
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor is missing or has values that no state has.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A layer does not take its state: one of its buffers, which are the caller's, cannot be written.
    #[error(transparent)]
    Layer(#[from] LayerStateError),
}

/// Why no checkpoint could be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The layers could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Two tensors would have the same name.
    #[error("{tensor}: required once, given twice: give each layer a prefix of its own")]
    Duplicate {
        /// The name.
        tensor: String,
    },
    /// The tensors make no safetensors file.
    #[error("the tensors make no safetensors file: {0}")]
    Format(String),
}
