//! The operations that extend burn's backend. Each runs on burn's buffers; with fusion it is queued with burn's own.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use wgpu_batchnorm::Statistics;

use crate::options::Options;

#[cfg(feature = "fusion")]
mod meta {
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::DType;
    use wgpu_batchnorm::Statistics;

    use crate::entry::saved_len;
    use crate::options::Options;

    fn saved(gamma: &TensorSpec) -> TensorSpec {
        TensorSpec::new([saved_len(gamma.shape[0])].into(), DType::F32)
    }

    pub fn train(
        x: &TensorSpec,
        gamma: &TensorSpec,
        _: &TensorSpec,
        mean: &TensorSpec,
        var: &TensorSpec,
        _: &Options,
    ) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
        (x.clone(), saved(gamma), mean.clone(), var.clone())
    }

    pub fn evaluate(
        x: &TensorSpec,
        gamma: &TensorSpec,
        _: &TensorSpec,
        _: &TensorSpec,
        _: &TensorSpec,
        _: &Options,
    ) -> (TensorSpec, TensorSpec) {
        (x.clone(), saved(gamma))
    }

    pub fn backward(
        x: &TensorSpec,
        _: &TensorSpec,
        _: &TensorSpec,
        _: &Statistics,
        _: &Options,
    ) -> (TensorSpec, TensorSpec, TensorSpec) {
        let vector = TensorSpec::new([x.shape[1]].into(), DType::F32);
        (x.clone(), vector.clone(), vector)
    }
}

/// Batch normalization on burn's backend. x is (N, C, ..), and all vectors have C float32.
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait BatchNormOps: Backend {
    /// y by the batch's statistics, what backward needs, and the running statistics after the batch.
    #[fusion(meta = meta::train)]
    fn wgpu_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// y by the running statistics, and what backward needs.
    #[fusion(meta = meta::evaluate)]
    fn wgpu_batch_norm_evaluate(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// dx, dgamma and dbeta, given what the forward saved and which statistics normalized.
    #[fusion(meta = meta::backward)]
    fn wgpu_batch_norm_backward(
        x: FloatTensor<Self>,
        saved: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        statistics: Statistics,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}
