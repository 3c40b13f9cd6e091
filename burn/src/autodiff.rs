//! The operations under autodiff.

use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use wgpu_batchnorm::Statistics;

use crate::ops::BatchNormOps;
use crate::options::Options;

/// The backward of a forward, with respect to x, gamma and beta.
#[derive(Debug)]
struct BatchNormBackward;

/// Where x is, what the forward saved, and which statistics normalized.
type State<B> = (NodeId, FloatTensor<B>, Statistics, Options);

impl<B: BatchNormOps> Backward<B, 3> for BatchNormBackward {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = gradients.consume::<B>(&ops.node);
        let (x, saved, statistics, options) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        let (dx, dgamma, dbeta) = B::wgpu_batch_norm_backward(x, saved, dy, statistics, options);
        for (parent, gradient) in ops.parents.into_iter().zip([dx, dgamma, dbeta]) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: BatchNormOps, C: CheckpointStrategy> BatchNormOps for Autodiff<B, C> {
    fn wgpu_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [mean, var] = [running_mean, running_var].map(|tensor| tensor.into_primitive());
        let (mut moved, new) = (None, Self::FloatTensorPrimitive::new);
        let (y, saved) = tracked::<B, C>([x, gamma, beta], Statistics::Batch, options, |[x, gamma, beta]| {
            let (y, saved, mean, var) = B::wgpu_batch_norm_train(x, gamma, beta, mean, var, options);
            moved = Some([mean, var]);
            (y, saved)
        });
        let [mean, var] = moved.expect("the forward has run");
        (y, new(saved), new(mean), new(var))
    }

    fn wgpu_batch_norm_evaluate(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [mean, var] = [running_mean, running_var].map(|tensor| tensor.into_primitive());
        let forward =
            |[x, gamma, beta]: [_; 3]| B::wgpu_batch_norm_evaluate(x, gamma, beta, mean, var, options);
        let (y, saved) = tracked::<B, C>([x, gamma, beta], Statistics::Running, options, forward);
        (y, Self::FloatTensorPrimitive::new(saved))
    }

    fn wgpu_batch_norm_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Statistics,
        _: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        panic!("batch norm has no second derivative")
    }
}

/// A forward, and a node for its backward where x, gamma or beta wants a gradient.
fn tracked<B: BatchNormOps, C: CheckpointStrategy>(
    [x, gamma, beta]: [FloatTensor<Autodiff<B, C>>; 3],
    statistics: Statistics,
    options: Options,
    forward: impl FnOnce([FloatTensor<B>; 3]) -> (FloatTensor<B>, FloatTensor<B>),
) -> (FloatTensor<Autodiff<B, C>>, FloatTensor<B>) {
    let nodes = [x.node(), gamma.node(), beta.node()];
    match BatchNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let at = prepared.checkpoint(&x);
            let (y, saved) = forward([x, gamma, beta].map(|tensor| tensor.into_primitive()));
            (prepared.finish((at, saved.clone(), statistics, options), y), saved)
        }
        OpsKind::UnTracked(prepared) => {
            let (y, saved) = forward([x, gamma, beta].map(|tensor| tensor.into_primitive()));
            (prepared.finish(y), saved)
        }
    }
}
