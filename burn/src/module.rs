//! The module: burn's fields, burn's record.

use burn::backend::Dispatch;
use burn::config::Config;
use burn::module::{Content, DisplaySettings, Flag, Initializer, Module, ModuleDisplay, Param, RunningState};
use burn::tensor::{Device, Tensor};

use crate::device;
use crate::ops::BatchNormOps;
use crate::options::Options;

/// What a [`BatchNorm`] is. The first three fields are those of burn's `BatchNormConfig`.
#[derive(Config, Debug)]
pub struct BatchNormConfig {
    /// The number of features, at least 1.
    pub num_features: usize,
    /// Added to the variance under the root. Finite, above 0; 1e-5 by default.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// The share of a batch in the running statistics, in 0..=1; 0.1 by default.
    #[config(default = 0.1)]
    pub momentum: f64,
    /// Whether the running variance takes the unbiased estimate of a batch's variance, count / (count − 1), as PyTorch's
    /// does. burn's takes the biased one, which is the default.
    #[config(default = false)]
    pub unbiased_running_var: bool,
    /// Whether y = max(bn(x), 0), forward and backward in the same dispatches.
    #[config(default = false)]
    pub relu: bool,
}

/// Batch normalization over (N, C, ..), in place of `burn::nn::BatchNorm`: the same fields, the same record.
///
/// On an autodiff device it trains, unless it is frozen; elsewhere it evaluates.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct BatchNorm {
    /// The weight γ.
    pub gamma: Param<Tensor<1>>,
    /// The bias β.
    pub beta: Param<Tensor<1>>,
    /// Whether the layer trains on a device with autodiff; freezing the module disables it.
    pub training: Param<Flag>,
    /// The running mean.
    pub running_mean: RunningState<Tensor<1>>,
    /// The running variance.
    pub running_var: RunningState<Tensor<1>>,
    /// The share of a batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance under the root.
    pub epsilon: f64,
    /// Whether the running variance takes the unbiased estimate.
    pub unbiased_running_var: bool,
    /// Whether ReLU follows.
    pub relu: bool,
}

impl BatchNormConfig {
    /// A layer with weight 1, bias 0, running mean 0 and running variance 1.
    ///
    /// # Panics
    /// Where `num_features` is 0, `epsilon` not finite and positive, or `momentum` not in 0..=1.
    pub fn init(&self, device: &Device) -> BatchNorm {
        let Self { num_features, epsilon, momentum, unbiased_running_var, relu } = *self;
        assert!(num_features > 0, "num_features must be at least 1, given 0");
        assert!(epsilon.is_finite() && epsilon > 0.0, "epsilon must be finite and above 0, given {epsilon}");
        assert!((0.0..=1.0).contains(&momentum), "momentum must be in 0..=1, given {momentum}");
        BatchNorm {
            gamma: Initializer::Ones.init([num_features], device),
            beta: Initializer::Zeros.init([num_features], device),
            training: Param::from_bool(true),
            running_mean: RunningState::new(Tensor::zeros([num_features], device)),
            running_var: RunningState::new(Tensor::ones([num_features], device)),
            momentum,
            epsilon,
            unbiased_running_var,
            relu,
        }
    }
}

impl BatchNorm {
    /// Normalizes x, (N, C, ..), float32, float16 or bfloat16. An empty batch passes through.
    ///
    /// # Panics
    /// Where x has another number of features, or another rank than 2 and more; in training where a feature has one value
    /// (PyTorch's error; burn's layer gives β); and where the device was not [shared](crate::share).
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let ([features], axes, device) = (self.gamma.shape().dims(), x.dims(), x.device());
        assert!(
            D >= 2 && axes[1] == features,
            "batch norm of {features} features needs (N, {features}, ..), given {axes:?}"
        );
        device::require(&device);
        if x.shape().num_elements() == 0 {
            return x;
        }
        match device.is_autodiff() && self.training.is_enabled() {
            true => self.train(x),
            false => self.evaluate(x),
        }
    }

    fn train<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (axes, device) = (x.dims(), x.device());
        assert!(
            axes.iter().product::<usize>() > axes[1],
            "training needs at least 2 values per feature, given {axes:?}: drop a last batch of one, or evaluate"
        );
        let running = [&self.running_mean, &self.running_var];
        let [mean, var] = running.map(|state| state.value_sync().to_device(&device).into_dispatch());
        let [gamma, beta] = [&self.gamma, &self.beta].map(|parameter| parameter.val().into_dispatch());
        let (y, _, mean, var) =
            Dispatch::wgpu_batch_norm_train(x.into_dispatch(), gamma, beta, mean, var, self.options());
        for (state, moved) in running.into_iter().zip([mean, var]) {
            state.update(Tensor::from_dispatch(moved).detach());
        }
        Tensor::from_dispatch(y)
    }

    fn evaluate<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let device = x.device();
        let running = [&self.running_mean, &self.running_var];
        let [mean, var] = running.map(|state| state.value().to_device(&device).into_dispatch());
        let [gamma, beta] = [&self.gamma, &self.beta].map(|parameter| parameter.val().into_dispatch());
        let (y, _) =
            Dispatch::wgpu_batch_norm_evaluate(x.into_dispatch(), gamma, beta, mean, var, self.options());
        Tensor::from_dispatch(y)
    }

    fn options(&self) -> Options {
        Options::new(self.epsilon, self.momentum, self.unbiased_running_var, self.relu)
    }
}

impl ModuleDisplay for BatchNorm {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let [features] = self.beta.shape().dims();
        let content = content
            .add("num_features", &features)
            .add("momentum", &self.momentum)
            .add("epsilon", &self.epsilon);
        let content = if self.relu { content.add("relu", &self.relu) } else { content };
        match self.training.is_enabled() {
            true => content.optional(),
            false => content.add("training", &self.training).optional(),
        }
    }
}
