use crate::tensor::Tensor;

/// What a file calls the tensors of a layer, given the layer's prefix: `layer1.0.bn1` and [`Names::PYTORCH`] make
/// `layer1.0.bn1.weight`.
///
/// The constants are the names of frameworks, and the methods change single ones. A name without a `*` follows the prefix
/// and the separator; with an empty prefix it stands alone. In a name with a `*`, the prefix takes the place of the `*`,
/// which serves files with a tree for each kind of tensor:
///
/// ```
/// use wgpu_batchnorm::{Names, Tensor};
///
/// let names = Names::FLAX
///     .separator("/")
///     .weight("params/*/scale")
///     .bias("params/*/bias")
///     .running_mean("batch_stats/*/mean")
///     .running_var("batch_stats/*/var");
/// assert_eq!(names.name("stem/bn", Tensor::RunningVar).unwrap(), "batch_stats/stem/bn/var");
/// assert_eq!(names.name("", Tensor::Weight).unwrap(), "params/scale");
/// assert_eq!(Names::PYTORCH.name("bn1", Tensor::Weight).unwrap(), "bn1.weight");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<'a> {
    separator: &'a str,
    weight: &'a str,
    bias: &'a str,
    running_mean: &'a str,
    running_var: &'a str,
    num_batches_tracked: Option<&'a str>,
}

impl Names<'static> {
    /// `torch.nn.BatchNorm*`: `PREFIX.weight`, `.bias`, `.running_mean`, `.running_var`, `.num_batches_tracked`.
    pub const PYTORCH: Self = Self {
        separator: ".",
        weight: "weight",
        bias: "bias",
        running_mean: "running_mean",
        running_var: "running_var",
        num_batches_tracked: Some("num_batches_tracked"),
    };
    /// `keras.layers.BatchNormalization`: `PREFIX/gamma`, `/beta`, `/moving_mean`, `/moving_variance`.
    pub const KERAS: Self = Self {
        separator: "/",
        weight: "gamma",
        bias: "beta",
        running_mean: "moving_mean",
        running_var: "moving_variance",
        num_batches_tracked: None,
    };
    /// `flax.linen.BatchNorm`: `PREFIX.scale`, `.bias`, `.mean`, `.var`.
    pub const FLAX: Self = Self {
        separator: ".",
        weight: "scale",
        bias: "bias",
        running_mean: "mean",
        running_var: "var",
        num_batches_tracked: None,
    };
    /// ONNX `BatchNormalization`: `PREFIX.scale`, `.B`, `.input_mean`, `.input_var`. Exporters often keep the names of the
    /// framework instead.
    pub const ONNX: Self = Self {
        separator: ".",
        weight: "scale",
        bias: "B",
        running_mean: "input_mean",
        running_var: "input_var",
        num_batches_tracked: None,
    };
}

impl<'a> Names<'a> {
    /// What stands between the prefix and a name.
    pub const fn separator(self, separator: &'a str) -> Self {
        Self { separator, ..self }
    }

    /// The name of the weight γ.
    pub const fn weight(self, weight: &'a str) -> Self {
        Self { weight, ..self }
    }

    /// The name of the bias β.
    pub const fn bias(self, bias: &'a str) -> Self {
        Self { bias, ..self }
    }

    /// The name of the running mean.
    pub const fn running_mean(self, running_mean: &'a str) -> Self {
        Self { running_mean, ..self }
    }

    /// The name of the running variance.
    pub const fn running_var(self, running_var: &'a str) -> Self {
        Self { running_var, ..self }
    }

    /// The name of the count of batches; `None` where files have none. It is then 0 when it is loaded.
    pub const fn num_batches_tracked(self, num_batches_tracked: Option<&'a str>) -> Self {
        Self { num_batches_tracked, ..self }
    }

    /// What a tensor of the layer with this prefix is called; `None` for the count of batches where there is none, and for
    /// tensors that are no part of a state.
    pub fn name(&self, prefix: &str, tensor: Tensor) -> Option<String> {
        let (name, separator) = (self.of(tensor)?, self.separator);
        Some(match (name.split_once('*'), prefix) {
            (None, "") => name.to_owned(),
            (None, _) => format!("{prefix}{separator}{name}"),
            (Some((before, after)), "") => {
                format!("{before}{}", after.strip_prefix(separator).unwrap_or(after))
            }
            (Some((before, after)), _) => format!("{before}{prefix}{after}"),
        })
    }

    /// The prefix of the layer whose tensor has this full name; `None` where it has another one.
    #[cfg(feature = "safetensors")]
    pub(crate) fn prefix<'b>(&self, full: &'b str, tensor: Tensor) -> Option<&'b str> {
        if self.name("", tensor).as_deref() == Some(full) {
            return Some("");
        }
        let name = self.of(tensor)?;
        let prefix = match name.split_once('*') {
            None => full.strip_suffix(name)?.strip_suffix(self.separator)?,
            Some((before, after)) => full.strip_prefix(before)?.strip_suffix(after)?,
        };
        (!prefix.is_empty()).then_some(prefix)
    }

    fn of(&self, tensor: Tensor) -> Option<&'a str> {
        match tensor {
            Tensor::Weight => Some(self.weight),
            Tensor::Bias => Some(self.bias),
            Tensor::RunningMean => Some(self.running_mean),
            Tensor::RunningVar => Some(self.running_var),
            Tensor::Batches => self.num_batches_tracked,
            _ => None,
        }
    }
}

impl Default for Names<'static> {
    /// PyTorch's.
    fn default() -> Self {
        Self::PYTORCH
    }
}
