//! How a tensor is judged.

use wgpu_batchnorm::StorageType;

use crate::layout::Layout;
use crate::scales;

/// How one published tensor is judged.
pub struct Rule<'a> {
    pub tensor: String,
    pub against: Against,
    pub at: At<'a>,
    /// What the result was rounded to.
    pub storage: StorageType,
    pub tolerance: f64,
    /// Per feature, what an error is divided by.
    pub scale: Vec<f64>,
    /// Features whose variance is beyond float32: no result is required of them.
    pub beyond: Vec<bool>,
}

/// What a result is held against.
pub enum Against {
    Truth,
    /// Another implementation's float32 result.
    Stored,
    /// The bias, for the features marked.
    Bias(Vec<bool>),
}

/// The features that a tensor's values belong to.
#[derive(Clone, Copy)]
pub enum At<'a> {
    /// One value, or one for each feature.
    Feature,
    /// All values of a tensor, and which of its examples and positions are valid.
    Element(Layout, Option<&'a [bool]>),
    Sample(Layout, &'a [usize]),
}

impl At<'_> {
    pub fn feature(&self, i: usize) -> usize {
        match self {
            At::Feature => i,
            At::Element(layout, _) => layout.feature(i),
            At::Sample(layout, index) => layout.feature(index[i]),
        }
    }

    /// Whether value `i` is padding, and so exactly 0.
    pub fn is_padding(&self, i: usize) -> bool {
        matches!(self, At::Element(layout, valid) if !scales::is_valid(*layout, *valid, i))
    }

    /// Where value `i` is in its tensor.
    pub fn index(&self, i: usize) -> usize {
        match self {
            At::Feature | At::Element(..) => i,
            At::Sample(_, index) => index[i],
        }
    }
}
