use std::borrow::Cow;

use super::State;
use crate::tensor::Tensor;

/// A tensor of a layer's state, as a checkpoint holds it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StateTensor<'a> {
    /// One value per feature: float32 of shape \[C\].
    Vector(Cow<'a, [f32]>),
    /// `num_batches_tracked`: a scalar int64, whose shape is \[\].
    Count(i64),
}

impl StateTensor<'_> {
    /// The shape that PyTorch gives it.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(values) => vec![values.len()],
            Self::Count(_) => vec![],
        }
    }
}

impl<'a> From<&'a [f32]> for StateTensor<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Vector(Cow::Borrowed(values))
    }
}

impl From<Vec<f32>> for StateTensor<'_> {
    fn from(values: Vec<f32>) -> Self {
        Self::Vector(Cow::Owned(values))
    }
}

impl From<i64> for StateTensor<'_> {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

/// Why tensors are no state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// No tensor of a state is called so.
    #[error(
        "{tensor}: a state has weight, bias, running_mean, running_var and num_batches_tracked: pass these only"
    )]
    Unknown {
        /// The name.
        tensor: String,
    },
    /// Two tensors have the same name.
    #[error("{tensor}: required once, given twice")]
    Duplicate {
        /// The name.
        tensor: String,
    },
    /// A tensor is not there.
    #[error("{tensor} is missing")]
    Missing {
        /// The name.
        tensor: String,
    },
    /// A vector has no values, or not as many as another one.
    #[error("{tensor} must have {required} values, given {given}")]
    Length {
        /// The name.
        tensor: String,
        /// The other vectors' length; 1 where there is no other.
        required: usize,
        /// The vector's length.
        given: usize,
    },
    /// A count stands in the place of a vector, or a vector in that of the count.
    #[error("{tensor} must be {required}")]
    Kind {
        /// The name.
        tensor: String,
        /// What it must be.
        required: &'static str,
    },
    /// A variance is negative, or not a number.
    #[error("{tensor}[{index}] must be at least 0, given {given}")]
    Variance {
        /// The name.
        tensor: String,
        /// Which value.
        index: usize,
        /// The value.
        given: f64,
    },
    /// The count of batches is negative.
    #[error("{tensor} must be at least 0, given {given}")]
    Count {
        /// The name.
        tensor: String,
        /// The count.
        given: i64,
    },
}

/// The tensors of a state and PyTorch's names for them.
pub(crate) const NAMED: [(Tensor, &str); 5] = [
    (Tensor::Weight, "weight"),
    (Tensor::Bias, "bias"),
    (Tensor::RunningMean, "running_mean"),
    (Tensor::RunningVar, "running_var"),
    (Tensor::Batches, "num_batches_tracked"),
];

impl State {
    /// The tensors that the state has, under PyTorch's names. The count of batches is one of them where there are running
    /// statistics. A count beyond 2⁶³ − 1 becomes that.
    pub fn tensors(&self) -> Vec<(&'static str, StateTensor<'_>)> {
        NAMED.into_iter().filter_map(|(tensor, name)| Some((name, self.tensor(tensor)?))).collect()
    }

    /// A state of tensors under PyTorch's names, in any order. Those that a layer has not may be missing, and so may the
    /// count of batches, which is 0 then.
    ///
    /// ```
    /// use wgpu_batchnorm::State;
    ///
    /// let state = State { weight: vec![1.0, 2.0], bias: vec![0.5, 0.0], ..Default::default() };
    /// assert_eq!(State::from_tensors(state.tensors()).unwrap(), state);
    /// ```
    ///
    /// # Errors
    /// [`TensorError`] with the tensor's name: where a name is unknown or given twice, vectors differ in length, one of the
    /// running statistics is there without the other or a count without them, a variance is negative or not a number, or the
    /// count is negative.
    pub fn from_tensors<'a, N: AsRef<str>>(
        tensors: impl IntoIterator<Item = (N, StateTensor<'a>)>,
    ) -> Result<Self, TensorError> {
        let mut known = Vec::new();
        for (name, values) in tensors {
            let name = name.as_ref();
            let Some((tensor, _)) = NAMED.into_iter().find(|(_, known)| *known == name) else {
                return Err(TensorError::Unknown { tensor: name.to_owned() });
            };
            known.push((tensor, values));
        }
        Self::assemble(known, |tensor| tensor.to_string())
    }

    /// A state of tensors that errors call by other names.
    pub(crate) fn assemble<'a>(
        tensors: Vec<(Tensor, StateTensor<'a>)>,
        name: impl Fn(Tensor) -> String,
    ) -> Result<Self, TensorError> {
        let mut state = Self::default();
        let (mut seen, mut features) = (Vec::new(), None);
        for (tensor, values) in tensors {
            if seen.contains(&tensor) {
                return Err(TensorError::Duplicate { tensor: name(tensor) });
            }
            seen.push(tensor);
            match (state.vector_mut(tensor), values) {
                (Some(vector), StateTensor::Vector(values)) => {
                    let required = *features.get_or_insert(values.len().max(1));
                    if values.len() != required {
                        let given = values.len();
                        return Err(TensorError::Length { tensor: name(tensor), required, given });
                    }
                    *vector = values.into_owned();
                }
                (None, StateTensor::Count(given)) => {
                    state.num_batches_tracked = u64::try_from(given)
                        .map_err(|_| TensorError::Count { tensor: name(tensor), given })?;
                }
                (vector, _) => {
                    let required = if vector.is_some() { "a vector" } else { "a count" };
                    return Err(TensorError::Kind { tensor: name(tensor), required });
                }
            }
        }
        for (one, other) in [
            (Tensor::RunningMean, Tensor::RunningVar),
            (Tensor::RunningVar, Tensor::RunningMean),
            (Tensor::Batches, Tensor::RunningMean),
        ] {
            if seen.contains(&one) && !seen.contains(&other) {
                return Err(TensorError::Missing { tensor: name(other) });
            }
        }
        match state.wrong_variance() {
            Some((index, given)) => {
                Err(TensorError::Variance { tensor: name(Tensor::RunningVar), index, given: given.into() })
            }
            None => Ok(state),
        }
    }

    /// A tensor of the state, where it has it.
    pub(crate) fn tensor(&self, tensor: Tensor) -> Option<StateTensor<'_>> {
        match self.vector(tensor) {
            Some(values) => (!values.is_empty()).then(|| values.into()),
            None => {
                let tracks = !self.running_mean.is_empty() || !self.running_var.is_empty();
                let count = i64::try_from(self.num_batches_tracked).unwrap_or(i64::MAX);
                tracks.then_some(StateTensor::Count(count))
            }
        }
    }

    /// The first variance that is negative or not a number, and where it is.
    pub(crate) fn wrong_variance(&self) -> Option<(usize, f32)> {
        let mut variances = self.running_var.iter().copied().enumerate();
        variances.find(|(_, variance)| variance.is_nan() || *variance < 0.0)
    }

    /// The values of a vector; `None` for the count of batches.
    pub(crate) fn vector(&self, tensor: Tensor) -> Option<&[f32]> {
        match tensor {
            Tensor::Weight => Some(&self.weight),
            Tensor::Bias => Some(&self.bias),
            Tensor::RunningMean => Some(&self.running_mean),
            Tensor::RunningVar => Some(&self.running_var),
            _ => None,
        }
    }

    pub(super) fn vector_mut(&mut self, tensor: Tensor) -> Option<&mut Vec<f32>> {
        match tensor {
            Tensor::Weight => Some(&mut self.weight),
            Tensor::Bias => Some(&mut self.bias),
            Tensor::RunningMean => Some(&mut self.running_mean),
            Tensor::RunningVar => Some(&mut self.running_var),
            _ => None,
        }
    }
}
