use crate::layer::{BatchNormDescriptor, State};

/// A layer on the CPU: what a [`BatchNorm`](crate::BatchNorm) keeps on the device, in float64. Vectors have C values
/// whether the layer has them or not: a missing weight is 1, a missing bias 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What the layer is.
    pub descriptor: BatchNormDescriptor<'static>,
    /// γ.
    pub weight: Vec<f64>,
    /// β.
    pub bias: Vec<f64>,
    /// Running mean of each feature.
    pub running_mean: Vec<f64>,
    /// Running variance of each feature.
    pub running_var: Vec<f64>,
    /// Training steps that moved the running statistics.
    pub num_batches_tracked: u64,
}

impl Layer {
    /// A layer as [`BatchNorm::new`](crate::BatchNorm::new) makes it.
    pub fn new(descriptor: &BatchNormDescriptor<'_>) -> Self {
        let features = descriptor.features as usize;
        Self {
            descriptor: BatchNormDescriptor { label: None, ..*descriptor },
            weight: vec![1.0; features],
            bias: vec![0.0; features],
            running_mean: vec![0.0; features],
            running_var: vec![1.0; features],
            num_batches_tracked: 0,
        }
    }

    /// A layer with the state of another. Vectors that the state does not have (that are empty) keep their initial
    /// values.
    ///
    /// # Panics
    /// Where a vector has another length than C.
    pub fn with_state(descriptor: &BatchNormDescriptor<'_>, state: &State) -> Self {
        let mut layer = Self::new(descriptor);
        for (to, values) in [
            (&mut layer.weight, &state.weight),
            (&mut layer.bias, &state.bias),
            (&mut layer.running_mean, &state.running_mean),
            (&mut layer.running_var, &state.running_var),
        ] {
            if !values.is_empty() {
                assert_eq!(values.len(), to.len(), "values in a vector of the state");
                *to = values.iter().copied().map(f64::from).collect();
            }
        }
        layer.num_batches_tracked = state.num_batches_tracked;
        layer
    }
}
