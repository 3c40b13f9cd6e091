//! How a tensor is judged.

use crate::layout::Layout;

/// How one published tensor is judged.
pub struct Rule<'a> {
    pub tensor: String,
    pub against: Against,
    pub at: At<'a>,
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
    Element(Layout),
    Sample(Layout, &'a [usize]),
}

impl At<'_> {
    pub fn feature(&self, i: usize) -> usize {
        match self {
            At::Feature => i,
            At::Element(layout) => layout.feature(i),
            At::Sample(layout, index) => layout.feature(index[i]),
        }
    }

    /// Where value `i` is in its tensor.
    pub fn index(&self, i: usize) -> usize {
        match self {
            At::Feature | At::Element(_) => i,
            At::Sample(_, index) => index[i],
        }
    }
}
