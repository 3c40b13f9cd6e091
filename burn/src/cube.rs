//! The operations on burn's wgpu backend: its buffers are bound to a step, which is submitted behind burn's own work.

use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use wgpu_batchnorm::{LayerBuffers, Statistics};

use crate::buffers::Resource;
use crate::device::Shared;
use crate::entry::{Gradients, Key, Tensors, saved_len};
use crate::ops::BatchNormOps;
use crate::options::Options;
use crate::view::{View, empty_vector, vector};

impl BatchNormOps for CubeBackend {
    fn wgpu_batch_norm_train(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        running_mean: CubeTensor,
        running_var: CubeTensor,
        options: Options,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        // burn's tensors are values: who holds the old statistics keeps them.
        let alignment = Shared::of(&x.device).alignment();
        let running = [running_mean, running_var].map(|tensor| vector(tensor.copy(), alignment));
        let (y, saved) = forward(x, [gamma, beta], &running, Statistics::Batch, options);
        let [running_mean, running_var] = running;
        (y, saved, running_mean, running_var)
    }

    fn wgpu_batch_norm_evaluate(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        running_mean: CubeTensor,
        running_var: CubeTensor,
        options: Options,
    ) -> (CubeTensor, CubeTensor) {
        let alignment = Shared::of(&x.device).alignment();
        let running = [running_mean, running_var].map(|tensor| vector(tensor, alignment));
        forward(x, [gamma, beta], &running, Statistics::Running, options)
    }

    fn wgpu_batch_norm_backward(
        x: CubeTensor,
        saved: CubeTensor,
        dy: CubeTensor,
        statistics: Statistics,
        options: Options,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let shared = Shared::of(&x.device);
        let x = View::of(x, shared.alignment());
        let dy = View::in_layout(dy, x.layout, shared.alignment());
        let key = Key { shape: x.shape(), storage: x.storage(), statistics, options };
        let features = key.shape.features() as usize;
        let (dx, [dgamma, dbeta]) = (x.empty_like(), [(); 2].map(|()| empty_vector(&x.tensor, features)));
        let all = [&x.tensor, &saved, &dy.tensor, &dx, &dgamma, &dbeta].map(Resource::of);
        let [x, saved, dy, dx_, dgamma_, dbeta_] = all.each_ref().map(Resource::binding);
        let gradients = Gradients { x, saved, dy, dx: dx_, dgamma: dgamma_, dbeta: dbeta_ };
        let mut steps = shared.steps();
        let step = steps.backward(&shared.context, key, gradients);
        shared.submit(step.unwrap_or_else(|error| panic!("batch norm backward: {error}")));
        (dx, dgamma, dbeta)
    }
}

/// y and saved statistics. With the batch's statistics, `running` moves in its place.
fn forward(
    x: CubeTensor,
    parameters: [CubeTensor; 2],
    running: &[CubeTensor; 2],
    statistics: Statistics,
    options: Options,
) -> (CubeTensor, CubeTensor) {
    let shared = Shared::of(&x.device);
    let x = View::of(x, shared.alignment());
    let [gamma, beta] = parameters.map(|tensor| vector(tensor, shared.alignment()));
    let key = Key { shape: x.shape(), storage: x.storage(), statistics, options };
    let saved = empty_vector(&x.tensor, saved_len(key.shape.features() as usize));
    let (y, [mean, var]) = (x.empty_like(), running);
    let all = [&x.tensor, &y, &saved, &gamma, &beta, mean, var].map(Resource::of);
    let [x, y_, saved_, gamma, beta, mean, var] = all.each_ref().map(Resource::binding);
    let vectors = LayerBuffers::new().weight(gamma).bias(beta).running_mean(mean).running_var(var);
    let tensors = Tensors { x, y: y_, saved: saved_, vectors };
    let mut steps = shared.steps();
    let step = steps.forward(&shared.context, key, tensors);
    shared.submit(step.unwrap_or_else(|error| panic!("batch norm: {error}")));
    drop(steps);
    (y, saved)
}
