//! The normalizations, made of the layer's steps.

use anyhow::{Result, ensure};
use wgpu_batchnorm::{
    Backward, BatchNorm, BatchNormDescriptor, Evaluation, Finalize, FinalizeGradients, Moments, Shape,
    Statistics, Training,
};

use super::prepare::{Done, Making};
use super::{Mode, Normalization};
use crate::pass::Work;
use crate::tensor::Tensor;

impl Making<'_> {
    /// Normalization number `i` of x.
    pub(super) fn normalize(&self, i: usize, x: &Tensor) -> Result<Done> {
        let norm = &self.network.norms[i];
        match self.network.normalization {
            Normalization::Groups(groups) => self.by_groups(i, x, groups),
            _ if self.mode == Mode::Evaluate => {
                let y = self.zeros("normalized", x.len);
                let shape = Shape::rows(self.rows, norm.features());
                let evaluation = norm.prepare_evaluation(shape, Evaluation::new(x.binding(), y.binding()))?;
                Ok(Done { y, forward: vec![Work::layer(evaluation)], backward: vec![] })
            }
            Normalization::MicroBatches(size) => self.by_micro_batches(i, x, size),
            _ => self.by_batch(i, x),
        }
    }

    fn by_batch(&self, i: usize, x: &Tensor) -> Result<Done> {
        let (norm, y) = (&self.network.norms[i], self.zeros("normalized", x.len));
        let features = norm.features();
        let training = Training::new(x.binding(), y.binding()).update_running(self.mode == Mode::Train);
        let training = match self.network.normalization {
            Normalization::VirtualBatches(size) => training.virtual_batch(size),
            _ => training,
        };
        let training = norm.prepare_training(Shape::rows(self.rows, features), training)?;
        let backward = norm.prepare_backward(&training, self.gradients_of(i))?;
        let (mut forward, mut backward) = (vec![Work::layer(training)], vec![Work::layer(backward)]);
        if self.network.normalization == Normalization::Noisy && self.mode != Mode::EvaluateOnBatch {
            let (kernels, size) = (&self.network.gpu.kernels, [self.rows, features]);
            let noise = kernels.noise(&self.step, size, i as u32, y.binding());
            let back = kernels.noise_backward(&self.step, size, i as u32, self.deltas[i].binding());
            forward.push(Work::Kernel(noise));
            backward.insert(0, Work::Kernel(back));
        }
        Ok(Done { y, forward, backward })
    }

    /// All gradients of normalization number `i`: dx takes the place of dy.
    fn gradients_of(&self, i: usize) -> Backward<'_> {
        let (delta, [weight, bias]) = (&self.deltas[i], self.parameter_gradients(i));
        Backward::of(delta.binding())
            .input_gradient(delta.binding())
            .weight_gradient(weight.binding())
            .bias_gradient(bias.binding())
    }

    fn parameter_gradients(&self, i: usize) -> [&Tensor; 2] {
        [&self.gradients[1 + 2 * i], &self.gradients[2 + 2 * i]]
    }

    /// As docs/parts.md says under "Micro-batches".
    fn by_micro_batches(&self, i: usize, x: &Tensor, size: u32) -> Result<Done> {
        let norm = &self.network.norms[i];
        let (features, rows, count) = (norm.features(), self.rows, self.rows.div_ceil(size));
        let (y, delta) = (self.zeros("normalized", x.len), &self.deltas[i]);
        let [moments_len, sums_len] =
            [norm.moments_bytes(), norm.gradient_sums_bytes()].map(|bytes| bytes as u32 / 4);
        let (moments, sums) =
            (self.zeros("moments", count * moments_len), self.zeros("gradient sums", count * sums_len));

        let finalize = Finalize::new(moments.binding(), count).values(rows.into());
        let finalize = norm.prepare_finalize(finalize.update_running(self.mode == Mode::Train))?;
        let [weight, bias] = self.parameter_gradients(i);
        let gradients = FinalizeGradients::new(sums.binding(), count)
            .weight_gradient(weight.binding())
            .bias_gradient(bias.binding());
        let gradients = norm.prepare_finalize_gradients(&finalize, gradients)?;

        let [mut first, mut normalize, mut backward, mut last] = [const { Vec::<Work>::new() }; 4];
        for k in 0..count {
            let examples = size.min(rows - k * size);
            let shape = Shape::rows(examples, features);
            let part = |tensor: &Tensor| tensor.part(k * size * features, examples * features);
            let [x, y, delta] = [x, &y, delta].map(part);
            let record = moments.part(k * moments_len, moments_len);
            first
                .push(Work::layer(norm.prepare_moments(shape, Moments::new(x.binding(), record.binding()))?));
            let apply = norm.prepare_apply(&finalize, shape, Evaluation::new(x.binding(), y.binding()))?;
            let (dy, record) = (Backward::of(delta.binding()), sums.part(k * sums_len, sums_len));
            backward.push(Work::layer(norm.prepare_gradient_sums(&apply, dy.clone(), record.binding())?));
            let dx = dy.input_gradient(delta.binding());
            last.push(Work::layer(norm.prepare_input_gradient(&apply, &gradients, dx)?));
            normalize.push(Work::layer(apply));
        }
        first.push(Work::layer(finalize));
        first.append(&mut normalize);
        backward.push(Work::layer(gradients));
        backward.append(&mut last);
        Ok(Done { y, forward: first, backward })
    }

    /// As docs/views.md says: a batch norm whose features are the groups of all examples standardizes, and one with
    /// frozen statistics applies weight and bias.
    fn by_groups(&self, i: usize, x: &Tensor, groups: u32) -> Result<Done> {
        let (norm, rows) = (&self.network.norms[i], self.rows);
        let features = norm.features();
        ensure!(features % groups == 0, "{features} features do not make {groups} groups of one size");
        let descriptor = BatchNormDescriptor {
            features: rows * groups,
            weight: false,
            bias: false,
            track_running_stats: false,
            ..Default::default()
        };
        let of_groups = BatchNorm::new(&self.network.gpu.context, &descriptor)?;
        let shape = Shape::channels_first(1, rows * groups, &[features / groups]);
        let (standardized, y) = (self.zeros("standardized", x.len), self.zeros("normalized", x.len));
        let standardize = Training::new(x.binding(), standardized.binding());
        let standardize = of_groups.prepare_training(shape, standardize)?;
        let affine = Training::new(standardized.binding(), y.binding())
            .statistics(Statistics::Running)
            .update_running(false);
        let affine = norm.prepare_training(Shape::rows(rows, features), affine)?;

        let delta = &self.deltas[i];
        let backward = Backward::of(delta.binding()).input_gradient(delta.binding());
        let backward = vec![
            Work::layer(norm.prepare_backward(&affine, self.gradients_of(i))?),
            Work::layer(of_groups.prepare_backward(&standardize, backward)?),
        ];
        Ok(Done { y, forward: vec![Work::layer(standardize), Work::layer(affine)], backward })
    }
}
