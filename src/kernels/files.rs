//! The WGSL files of shaders/, as text.

/// A file: its name without the folder and the ending, and what it says.
pub(crate) type File = (&'static str, &'static str);

macro_rules! files {
    ($($folder:literal: $($name:literal)*;)*) => {
        &[$($(($name, include_str!(concat!("../../shaders/", $folder, "/", $name, ".wgsl")))),*),*]
    };
}

pub(crate) const FILES: &[File] = files! {
    "lib":
        "ahead" "bfloat16" "cursor" "float16" "halves" "hold" "merge_splits" "packet" "params" "reduce" "save" "saved" "tile" "vectors";
    "epilogue":
        "finished" "gelu" "gradient_before" "leaky_relu" "positive" "pre_activation" "relu" "residual" "residual_gradient"
        "sigmoid" "silu";
    "forward":
        "affine" "cached" "evaluate" "finalize" "finish" "finish_slot" "forward_packet" "gather_moments" "guard" "held_moments" "inverse_std"
        "moments" "normalize" "partial_moments" "persistent" "slice_moments" "split_moments" "transform_slice";
    "backward":
        "backward_packet" "cached_gradient" "finalize_gradients" "finish_gradient_slot" "finish_gradients" "frozen_gradient" "gradient"
        "gather_sums" "gradient_means" "input_gradient" "partial_sums" "persistent_gradient" "slice_sums" "split_sums"
        "standardize" "sums";
    "mask":
        "mask_of_lengths" "valid";
};

/// The text of the file of this name.
#[cfg(not(mutants))]
pub(crate) fn current(_name: &str, text: &'static str) -> &'static str {
    text
}

/// The text of the file of this name, or of the mutant that the environment names. Only in the builds of `make mutants`.
#[cfg(mutants)]
pub(crate) fn current(name: &str, text: &'static str) -> &'static str {
    use std::sync::LazyLock;
    static MUTANT: LazyLock<Option<(std::path::PathBuf, String)>> = LazyLock::new(|| {
        let path = std::path::PathBuf::from(std::env::var_os("BATCHNORM_MUTANT")?);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some((path, text))
    });
    match &*MUTANT {
        Some((path, mutated)) if path.file_stem().is_some_and(|stem| stem == name) => mutated,
        _ => text,
    }
}
