use super::{FoldError, WeightShape};
use crate::layer::State;

/// What an evaluation does to a feature: y = scale · x + shift.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleAndShift {
    /// γ / √(running variance + eps), for each feature.
    pub scale: Vec<f64>,
    /// β − running mean · scale, for each feature.
    pub shift: Vec<f64>,
}

/// A layer's weight and bias with a batch norm in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// As many values as before, in the same order.
    pub weight: Vec<f32>,
    /// One value per output, also where the layer had no bias before.
    pub bias: Vec<f32>,
}

/// What a layer takes for values beyond the edge of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// There are none.
    None,
    /// Values of the input (PyTorch's `reflect`, `replicate` and `circular`).
    Input,
    /// Zeros.
    Zeros,
}

impl State {
    /// The evaluation with this state and eps as a scale and a shift of each feature, in float64. A missing weight is 1, a
    /// missing bias 0.
    ///
    /// # Errors
    /// [`FoldError`], where there are no running statistics, vectors differ in length, or a scale or shift is not finite
    /// (where a variance is negative, too).
    pub fn scale_and_shift(&self, eps: f32) -> Result<ScaleAndShift, FoldError> {
        let features = self.running_mean.len().max(self.running_var.len());
        if features == 0 {
            return Err(FoldError::NotTracked);
        }
        if eps.is_nan() || eps < 0.0 {
            return Err(FoldError::Eps { given: eps });
        }
        for (tensor, vector, optional) in [
            ("running_mean", &self.running_mean, false),
            ("running_var", &self.running_var, false),
            ("weight", &self.weight, true),
            ("bias", &self.bias, true),
        ] {
            if vector.len() != features && !(optional && vector.is_empty()) {
                return Err(FoldError::Length { tensor, required: features, given: vector.len() });
            }
        }
        let value = |vector: &[f32], c: usize, missing: f64| vector.get(c).map_or(missing, |v| f64::from(*v));
        let (mut scale, mut shift) = (Vec::with_capacity(features), Vec::with_capacity(features));
        for c in 0..features {
            let std = (f64::from(self.running_var[c]) + f64::from(eps)).sqrt();
            let s = value(&self.weight, c, 1.0) / std;
            scale.push(finite("scale", c, s)?);
            shift.push(finite("shift", c, value(&self.bias, c, 0.0) - f64::from(self.running_mean[c]) * s)?);
        }
        Ok(ScaleAndShift { scale, shift })
    }
}

impl ScaleAndShift {
    /// Folds batch_norm(layer(x)) into the layer, whose outputs are the batch norm's features.
    ///
    /// Always exact: weight · scale, and bias · scale + shift. `bias` is `None` where the layer has none. In float64, rounded
    /// once. Results differ from those of the two layers by the rounding of float32, relative to what is added up in the
    /// layer: with |mean| a million times the standard deviation that is much, and the batch norm is better kept.
    ///
    /// # Errors
    /// [`FoldError`], where lengths do not fit the shape, or a result is not finite in float32.
    pub fn fold_into_preceding(
        &self,
        shape: &WeightShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Folded, FoldError> {
        self.check(shape, ("outputs", shape.outputs), weight, bias)?;
        let mut folded = vec![0.0; weight.len()];
        shape.each(|index, output, _| folded[index] = f64::from(weight[index]) * self.scale[output]);
        let bias_of = |output: usize| bias.map_or(0.0, |bias| f64::from(bias[output]));
        let bias = (0..shape.outputs).map(|o| bias_of(o) * self.scale[o] + self.shift[o]).collect();
        narrow(shape, &folded, bias)
    }

    /// Folds layer(batch_norm(x)) into the layer, whose inputs are the batch norm's features.
    ///
    /// The weight takes the scale, and the bias takes the weight's sum over the shifts. This is exact only where every
    /// output sees all the weights: in linear layers, and in convolutions that do not pad with zeros. Transposed
    /// convolutions, and padding with zeros, are refused unless every shift is 0.
    ///
    /// # Errors
    /// [`FoldError`], where it is not exact, lengths do not fit the shape, or a result is not finite in float32.
    pub fn fold_into_following(
        &self,
        shape: &WeightShape,
        padding: Padding,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Folded, FoldError> {
        self.check(shape, ("inputs", shape.inputs), weight, bias)?;
        if self.shift.iter().any(|shift| *shift != 0.0) {
            match (shape.transposed, padding) {
                (true, _) => return Err(FoldError::Transposed),
                (false, Padding::Zeros) => return Err(FoldError::Padding),
                (false, Padding::None | Padding::Input) => {}
            }
        }
        let mut folded = vec![0.0; weight.len()];
        let mut sums: Vec<f64> =
            (0..shape.outputs).map(|output| bias.map_or(0.0, |bias| bias[output].into())).collect();
        shape.each(|index, output, input| {
            let value = f64::from(weight[index]);
            folded[index] = value * self.scale[input];
            sums[output] += value * self.shift[input];
        });
        narrow(shape, &folded, sums)
    }

    fn check(
        &self,
        shape: &WeightShape,
        (channels, required): (&'static str, usize),
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<(), FoldError> {
        shape.check()?;
        let length = |tensor, required, given| match required == given {
            true => Ok(()),
            false => Err(FoldError::Length { tensor, required, given }),
        };
        if self.scale.len() != required {
            return Err(FoldError::Features { channels, required, given: self.scale.len() });
        }
        length("shift", self.scale.len(), self.shift.len())?;
        length("weight", shape.elements(), weight.len())?;
        bias.map_or(Ok(()), |bias| length("bias", shape.outputs, bias.len()))
    }
}

/// Rounds to float32.
fn narrow(shape: &WeightShape, weight: &[f64], bias: Vec<f64>) -> Result<Folded, FoldError> {
    let mut wrong = Ok(0.0);
    shape.each(|index, output, _| {
        if wrong.is_ok() {
            wrong = finite("weight", output, weight[index]);
        }
    });
    wrong?;
    for (output, value) in bias.iter().enumerate() {
        finite("bias", output, *value)?;
    }
    let round = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
    Ok(Folded { weight: round(weight), bias: round(&bias) })
}

/// Refuses what float32 cannot hold.
fn finite(tensor: &'static str, feature: usize, given: f64) -> Result<f64, FoldError> {
    if (given as f32).is_finite() { Ok(given) } else { Err(FoldError::NotFinite { tensor, feature, given }) }
}
