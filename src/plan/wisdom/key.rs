//! What a plan is remembered for: a shape and a work, in words that the same work has always.

use std::fmt::{Display, Formatter, Result as FmtResult};

use crate::plan::{Activation, CustomActivation, MaskKind, Op, PreActivation, ResidualGradient, Work};
use crate::tensor::{Shape, StorageType};

/// The words of a work, in order: one of the first group, and at most one of each other. A word that ends in `=` has a
/// number behind it.
const WORDS: [&[&str]; 11] = [
    &["training", "evaluation", "backward", "backward_sums", "backward_frozen"],
    &["float16", "bfloat16"],
    &["relu", "leaky_relu", "silu", "gelu", "custom="],
    &["residual"],
    &["recomputed", "by_sign"],
    &["dz", "dz_added"],
    &["separate_vectors"],
    &["lengths", "positions"],
    &["guard"],
    &["commit"],
    &["virtual_batch="],
];

/// A shape as kernels see it, and what is done with it, as far as plans differ by that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Outer, features, inner.
    view: (u64, u32, u64),
    work: String,
}

impl Key {
    /// `None` for work that no plan is remembered of: parts of a batch, and nothing at all.
    pub fn new(shape: Shape, work: &Work) -> Option<Self> {
        let op = match work.op {
            Op::Training { .. } => "training",
            Op::Evaluation => "evaluation",
            Op::Backward { reduce: true, apply: true } => "backward",
            Op::Backward { reduce: true, apply: false } => "backward_sums",
            Op::Backward { reduce: false, apply: true } => "backward_frozen",
            _ => return None,
        };
        let backward = work.op.is_backward();
        let mut words = vec![op.to_owned()];
        let mut word = |has: bool, word: &str| words.extend(has.then(|| word.to_owned()));
        word(work.storage != StorageType::Float32, &work.storage.to_string());
        word(work.epilogue.activation != Activation::Identity, &activation(work.epilogue.activation));
        word(work.epilogue.residual, "residual");
        word(work.finds_by() == Some(PreActivation::Recomputed), "recomputed");
        word(work.finds_by() == Some(PreActivation::SignOfOutput), "by_sign");
        word(work.gives_residual_gradient() == Some(ResidualGradient::Write), "dz");
        word(work.gives_residual_gradient() == Some(ResidualGradient::Add), "dz_added");
        word(work.separate_vectors && !backward, "separate_vectors");
        word(work.mask == Some(MaskKind::Lengths), "lengths");
        word(work.mask == Some(MaskKind::Positions), "positions");
        word(work.guard, "guard");
        word(work.commit, "commit");
        // In rows of the view, since shapes that lie alike have one key.
        let rows =
            work.virtual_batch.map(|examples| u64::from(examples).saturating_mul(shape.example_rows()));
        word(rows.is_some(), &format!("virtual_batch={}", rows.unwrap_or(0)));
        Some(Self { view: shape.view(), work: words.join(" ") })
    }

    /// A key as it is printed; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (view, work) = text.split_once(' ')?;
        let mut axes = view.split('x');
        let view = (number(axes.next()?)?, number(axes.next()?)?, number(axes.next()?)?);
        if axes.next().is_some() {
            return None;
        }
        let mut groups = WORDS.iter();
        for (i, word) in work.split(' ').enumerate() {
            let known = groups.by_ref().position(|group| group.iter().any(|known| is(word, known)))?;
            if i == 0 && known > 0 {
                return None;
            }
        }
        Some(Self { view, work: work.to_owned() })
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let (outer, features, inner) = self.view;
        write!(f, "{outer}x{features}x{inner} {}", self.work)
    }
}

/// A number as it is printed: without a sign or a zero before it.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (text == "0" || !text.starts_with('0')) { text.parse().ok() } else { None }
}

fn is(word: &str, known: &str) -> bool {
    match (known.ends_with('='), word.strip_prefix(known)) {
        (true, Some(value)) => number::<u64>(value).is_some(),
        (false, Some("")) => true,
        _ => false,
    }
}

/// A slope makes no difference. Of functions of the caller's, a number stands for their text (FNV-1a).
fn activation(activation: Activation) -> String {
    match activation {
        Activation::Identity => "identity".into(),
        Activation::Relu => "relu".into(),
        Activation::LeakyRelu { .. } => "leaky_relu".into(),
        Activation::Silu => "silu".into(),
        Activation::Gelu => "gelu".into(),
        Activation::Custom(CustomActivation { value, derivative }) => {
            let bytes = value.bytes().chain([0]).chain(derivative.bytes());
            let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            format!("custom={}", bytes.fold(0xcbf2_9ce4_8422_2325, hash))
        }
    }
}
